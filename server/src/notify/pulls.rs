//! Plans on pull requests: what a forge tells of one has its head read and planned, and the plan stands there as a comment.
//!
//! A pull request is a proposal, not a wish: nothing of it reaches the control loop. Only those from branches of the repository
//! itself are planned: planning asks registries for images that are named in it, which is not for strangers to steer.

use super::count::Counts;
use super::forge::{Forge, ForgeKind};
use super::place::{Found, PlaceFile};
use super::send::{SendError, Sender};
use super::{Bounds, Source};
use jiff::Timestamp;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Pull requests that wait to be planned. Each is planned in a second or so; more than this is a flood.
pub const QUEUE: usize = 64;

/// So many comments are remembered, those of the newest pull requests; an older one gets a new comment.
const COMMENTS: usize = 1000;

/// A pull request that has come or changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PullRequest {
    /// The kind of its forge.
    pub kind: ForgeKind,
    /// The repository, as the forge calls it.
    pub repository: String,
    /// Its number.
    pub number: u64,
}

/// The comments that were written, by pull request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Comments(BTreeMap<u64, u64>);

/// A comment as forges answer it.
#[derive(Deserialize)]
struct Written {
    id: u64,
}

/// What comments on pull requests of the forges that want it.
pub(super) struct PullCommenter {
    pub forges: Vec<(Forge, PlaceFile<Comments>)>,
    pub source: Arc<dyn Source>,
    pub sender: Sender,
    pub bounds: Bounds,
    pub told: mpsc::Receiver<PullRequest>,
    pub shutdown: CancellationToken,
}

impl PullCommenter {
    /// Comments until the control plane ends.
    pub(super) async fn run(mut self) {
        let shutdown = self.shutdown.clone();
        shutdown.run_until_cancelled(self.comment_on_all()).await;
    }

    async fn comment_on_all(&mut self) {
        while let Some(first) = self.told.recv().await {
            // Several pushes to one branch need one plan, the last.
            let mut due = BTreeSet::from([first]);
            while let Ok(more) = self.told.try_recv() {
                due.insert(more);
            }
            for pull in due {
                let wanted = self.forges.iter().filter(|(forge, _)| {
                    forge.kind == pull.kind
                        && forge.repository.eq_ignore_ascii_case(&pull.repository)
                });
                for (forge, file) in wanted {
                    self.comment(forge, file, &pull).await;
                }
            }
        }
        // Nobody listens to forges: there is nothing to do, which is no end.
        std::future::pending::<()>().await;
    }

    async fn comment(&self, forge: &Forge, file: &PlaceFile<Comments>, pull: &PullRequest) {
        let counts = Counts::of(&forge.name);
        let reference = forge.kind.pull_reference(pull.number);
        let text = match self.source.preview(reference).await {
            Ok(preview) => preview.markdown,
            Err(error) => {
                tracing::warn!(
                    forge = forge.name,
                    number = pull.number,
                    error,
                    "a pull request cannot be planned"
                );
                // What went wrong may name machines that are not for everybody who reads there.
                "Muster could not plan this pull request; the control plane's log says why.\n"
                    .to_owned()
            }
        };
        let mut comments = match file.read() {
            Found::Place(comments) => comments,
            // The comments stay where they are; new ones are written.
            Found::Nothing | Found::Damaged(_) => Comments::default(),
        };
        let known = comments.0.get(&pull.number).copied();
        let mut written = self.write(forge, pull, known, &text).await;
        if known.is_some() && matches!(&written, Err(Unwritten::Gone)) {
            written = self.write(forge, pull, None, &text).await;
        }
        match written {
            Ok(id) => {
                counts.sent();
                comments.0.insert(pull.number, id);
                while comments.0.len() > COMMENTS {
                    comments.0.pop_first();
                }
                file.write(&comments);
            }
            Err(Unwritten::Gone) => {
                counts.failed();
                tracing::warn!(
                    forge = forge.name,
                    number = pull.number,
                    "the plan of a pull request cannot be written there; may the token comment?"
                );
            }
            Err(Unwritten::Failed(why)) => {
                counts.failed();
                tracing::warn!(
                    forge = forge.name,
                    number = pull.number,
                    why,
                    "the plan of a pull request was not written there"
                );
            }
        }
    }

    /// Writes the comment, and gives its id.
    async fn write(
        &self,
        forge: &Forge,
        pull: &PullRequest,
        comment: Option<u64>,
        text: &str,
    ) -> Result<u64, Unwritten> {
        let request = forge.comment_request(pull.number, comment, text);
        let mut answer = self.sender.once(&request).await;
        if let Err(SendError::Passing { status, .. }) = &answer {
            // A comment that somebody removed does not come back.
            if comment.is_some() && status.is_some_and(is_gone) {
                return Err(Unwritten::Gone);
            }
            let gives_up = Timestamp::now().saturating_add(self.bounds.comment);
            let gives_up = gives_up.unwrap_or(Timestamp::MAX);
            answer = self.sender.persist(&request, gives_up, &forge.name).await;
        }
        let answer = answer.map_err(|error| Unwritten::Failed(error.to_string()))?;
        serde_json::from_slice::<Written>(&answer)
            .map(|written| written.id)
            .map_err(|error| Unwritten::Failed(format!("its answer has no id: {error}")))
    }
}

/// Why there is no comment.
enum Unwritten {
    /// Somebody removed it.
    Gone,
    /// Anything else.
    Failed(String),
}

fn is_gone(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}
