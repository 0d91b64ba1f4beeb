//! Has canaries measured: the queries that are due are asked, and what came of them is an input of the loop.

use super::handle::ControlHandle;
use crate::analysis::Prometheus;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use muster_core::decide::Input;
use muster_core::decide::rollout::analysis::{Question, questions};
use muster_schemas::ids::JobId;
use muster_schemas::rollout::{MeasureFault, Measured};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What is due is looked for this often; intervals are seconds at least.
const LOOK: Duration = Duration::from_secs(1);

/// So many queries are asked at once: Prometheus has others who ask.
const AT_ONCE: usize = 8;

/// The longest interval of a query: what was asked longer ago need not be remembered.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Asks until `shutdown`. Without a Prometheus each query gets that for an answer, so that it can be read on the job.
pub async fn follow_canaries(
    control: ControlHandle,
    prometheus: Option<Prometheus>,
    shutdown: CancellationToken,
) {
    // What again gave nothing is not recorded, and would be due at each look.
    let mut asked: BTreeMap<(JobId, u64, String), Instant> = BTreeMap::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = Timestamp::now();
        let mut due = control.read(|fleet| questions(fleet, now));
        due.retain(|question| {
            let interval = Duration::try_from(question.interval).unwrap_or(REMEMBERED);
            asked
                .get(&key(question))
                .is_none_or(|at| at.elapsed() >= interval)
        });
        asked.retain(|_, at| at.elapsed() < REMEMBERED);
        asked.extend(due.iter().map(|question| (key(question), Instant::now())));
        let measure = stream::iter(due)
            .map(|question| {
                let prometheus = prometheus.as_ref();
                async move {
                    let measured = match prometheus {
                        Some(prometheus) => prometheus.measure(&question.query).await,
                        None => Measured::Nothing {
                            fault: MeasureFault::NotConfigured,
                        },
                    };
                    (question, measured)
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>();
        let Some(answers) = shutdown.run_until_cancelled(measure).await else {
            return;
        };
        for (question, measured) in answers {
            let Question {
                job, version, name, ..
            } = question;
            let input = Input::Measured {
                job,
                version,
                name,
                measured,
            };
            if let Err(error) = control.take(input).await {
                tracing::warn!(%error, "a measurement was not taken");
            }
        }
    }
}

fn key(question: &Question) -> (JobId, u64, String) {
    (
        question.job.clone(),
        question.version,
        question.name.clone(),
    )
}
