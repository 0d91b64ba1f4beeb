//! Putting back what somebody changed on a running container, as far as that is possible without harm to what runs.

use super::ends;
use super::execute::{Hands, Outcome, Step, from_engine};
use crate::runtime::{Container, Runtime, Settings};
use muster_schemas::drift::DriftField;
use muster_schemas::wire::Launch;

/// A bound on memory is put back only while a tenth of it is free: between the reading and the deed the container may take more.
const MEMORY_MARGIN: u64 = 10;

impl<R: Runtime> Hands<R> {
    /// Puts back what somebody changed, as far as that is possible without harm to what runs.
    pub(super) async fn put_back(
        &self,
        launch: &Launch,
        container: &str,
        mut fields: Vec<DriftField>,
    ) -> Step<Option<Container>> {
        let wanted = self
            .markers
            .get(launch.attempt)
            .and_then(|marker| marker.settings.clone());
        let Some(wanted) = wanted else {
            return Ok(None);
        };
        let too_large = self.uses_too_much(container, &wanted, &fields).await?;
        if too_large.is_some() {
            fields.retain(|field| !matches!(field, DriftField::Memory | DriftField::MemorySwap));
        }
        let names: Vec<&str> = fields.iter().map(|field| field.path()).collect();
        if !fields.is_empty() {
            tracing::info!(
                attempt = %launch.attempt,
                task = %launch.task,
                fields = names.join(", "),
                "putting back what somebody changed on a container"
            );
            self.runtime
                .put_back(container, &wanted, &fields)
                .await
                .map_err(|error| from_engine(&error, "the engine did not put it back"))?;
        }
        match too_large {
            Some(message) => Err(Outcome::Again(message)),
            None => self.look(container).await,
        }
    }

    /// Why a bound on memory cannot be put back, if so: the kernel would kill what uses more.
    async fn uses_too_much(
        &self,
        container: &str,
        wanted: &Settings,
        fields: &[DriftField],
    ) -> Step<Option<String>> {
        let bounds = [DriftField::Memory, DriftField::MemorySwap];
        if wanted.memory_bytes <= 0 || !fields.iter().any(|field| bounds.contains(field)) {
            return Ok(None);
        }
        let used = self
            .runtime
            .stats(container)
            .await
            .map_err(|error| from_engine(&error, "what it uses could not be read"))?
            .memory_bytes;
        let bound = u64::try_from(wanted.memory_bytes).unwrap_or(u64::MAX);
        Ok((used >= bound - bound / MEMORY_MARGIN).then(|| {
            format!(
                "it uses {} of memory, too much for its bound of {}",
                ends::size(used),
                ends::size(bound)
            )
        }))
    }
}
