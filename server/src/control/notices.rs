//! The control loop as the notify room sees it.

use super::handle::ControlHandle;
use super::preview::preview_reference;
use crate::git::Remote;
use crate::journal::EventFilter;
use crate::notify::Source;
use futures::future::BoxFuture;
use muster_core::fleet::Fleet;
use muster_schemas::api::PlanPreview;
use muster_schemas::event::Record;
use std::sync::Arc;
use tokio::sync::broadcast;

/// The control loop with its repository.
pub(super) struct Notices {
    pub(super) control: ControlHandle,
    pub(super) remote: Remote,
}

impl Source for Notices {
    fn read(&self, look: &mut dyn FnMut(&Fleet)) {
        self.control.read(look);
    }

    fn records(&self) -> broadcast::Receiver<Arc<Record>> {
        self.control.records()
    }

    fn records_after(
        &self,
        after: u64,
        kinds: Vec<String>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Record>, String>> {
        let filter = EventFilter {
            kinds,
            after: Some(after),
            limit,
            ..EventFilter::default()
        };
        Box::pin(async move {
            let found = self.control.journal().find(&filter).await;
            found.map_err(|error| error.to_string())
        })
    }

    fn journal_trouble(&self) -> Option<String> {
        self.control.journal_trouble()
    }

    fn preview(&self, reference: String) -> BoxFuture<'_, Result<PlanPreview, String>> {
        Box::pin(async move {
            preview_reference(&self.control, &self.remote, reference)
                .await
                .map_err(|error| error.to_string())
        })
    }
}
