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

/// Pull requests of one forge that wait to be planned. Each is planned in a second or so; more than this is a flood.
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
    /// The repository's number, where the forge's users call it by that, too.
    pub project: Option<u64>,
    /// Its number.
    pub number: u64,
}

impl PullRequest {
    /// Whether it is one of the repository that the operator's file names.
    fn is_of(&self, kind: ForgeKind, repository: &str) -> bool {
        let by_number = || {
            let named = repository.parse().ok();
            kind == ForgeKind::Gitlab && named.is_some() && named == self.project
        };
        kind == self.kind && (repository.eq_ignore_ascii_case(&self.repository) || by_number())
    }
}

/// The lines in which pull requests wait, one for each forge that comments on them: one that hangs holds up no other.
#[derive(Debug, Default)]
pub struct PullLines(Vec<PullLine>);

#[derive(Debug)]
struct PullLine {
    kind: ForgeKind,
    repository: String,
    out: mpsc::Sender<PullRequest>,
}

/// The other ends of the lines, by the forge's name.
pub type PullQueues = BTreeMap<String, mpsc::Receiver<PullRequest>>;

/// What becomes of a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It will be planned.
    Taken,
    /// No forge that comments on pull requests has its repository.
    NotOurs,
    /// Too many wait.
    Full,
}

impl PullLines {
    /// A line for each forge that comments on pull requests, with room for so many.
    pub fn new(forges: &[Forge], room: usize) -> (Self, PullQueues) {
        let mut queues = PullQueues::new();
        let mut lines = Vec::new();
        for forge in forges.iter().filter(|forge| forge.pull_requests) {
            let (out, told) = mpsc::channel(room);
            queues.insert(forge.name.clone(), told);
            lines.push(PullLine {
                kind: forge.kind,
                repository: forge.repository.clone(),
                out,
            });
        }
        (Self(lines), queues)
    }

    /// Puts a pull request into the lines of its repository.
    pub fn offer(&self, pull: &PullRequest) -> Offered {
        let mut offered = Offered::NotOurs;
        for line in &self.0 {
            if pull.is_of(line.kind, &line.repository) {
                match (line.out.try_send(pull.clone()), offered) {
                    (Ok(()), Offered::NotOurs | Offered::Taken) => offered = Offered::Taken,
                    (Ok(()), Offered::Full) | (Err(_), _) => offered = Offered::Full,
                }
            }
        }
        offered
    }
}

/// The comments that were written, by pull request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Comments(BTreeMap<u64, u64>);

/// A comment as forges answer it.
#[derive(Deserialize)]
struct Written {
    id: u64,
}

/// What comments on the pull requests of one forge.
pub(super) struct PullCommenter {
    pub forge: Forge,
    pub file: PlaceFile<Comments>,
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
                self.comment(&pull).await;
            }
        }
        // Nobody listens to forges: there is nothing to do, which is no end.
        std::future::pending::<()>().await;
    }

    /// The plan as it stands there, or that there is none.
    async fn plan(&self, pull: &PullRequest) -> String {
        let reference = self.forge.kind.pull_reference(pull.number);
        let planned = tokio::time::timeout(self.bounds.plan, self.source.preview(reference)).await;
        let error = match planned {
            Ok(Ok(preview)) => return preview.markdown,
            Ok(Err(error)) => error,
            Err(_) => format!("it took more than {} s", self.bounds.plan.as_secs()),
        };
        tracing::warn!(
            forge = self.forge.name,
            number = pull.number,
            error,
            "a pull request cannot be planned"
        );
        // What went wrong may name machines that are not for everybody who reads there.
        "Muster could not plan this pull request; the control plane's log says why.\n".to_owned()
    }

    async fn comment(&self, pull: &PullRequest) {
        let (forge, file) = (&self.forge, &self.file);
        let counts = Counts::of(&forge.name);
        let text = self.plan(pull).await;
        let mut comments = match file.read().await {
            Found::Place(comments) => comments,
            // The comments stay where they are; new ones are written.
            Found::Nothing | Found::Damaged(_) => Comments::default(),
        };
        let known = comments.0.get(&pull.number).copied();
        let mut written = self.write(pull, known, &text).await;
        if known.is_some() && matches!(&written, Err(Unwritten::Gone)) {
            written = self.write(pull, None, &text).await;
        }
        match written {
            Ok(id) => {
                counts.sent();
                comments.0.insert(pull.number, id);
                while comments.0.len() > COMMENTS {
                    comments.0.pop_first();
                }
                file.write(&comments).await;
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
        pull: &PullRequest,
        comment: Option<u64>,
        text: &str,
    ) -> Result<u64, Unwritten> {
        let request = self.forge.comment_request(pull.number, comment, text);
        let mut answer = self.sender.once(&request).await;
        if let Err(SendError::Passing { status, .. }) = &answer {
            // A comment that somebody removed does not come back.
            if comment.is_some() && status.is_some_and(is_gone) {
                return Err(Unwritten::Gone);
            }
            let gives_up = Timestamp::now().saturating_add(self.bounds.comment);
            let gives_up = gives_up.unwrap_or(Timestamp::MAX);
            answer = self
                .sender
                .persist(&request, gives_up, &self.forge.name)
                .await;
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

#[cfg(test)]
mod tests {
    use super::super::secret::Secret;
    use super::*;

    fn forge(name: &str, kind: ForgeKind, repository: &str) -> Forge {
        Forge {
            name: name.to_owned(),
            kind,
            api: "http://127.0.0.1".parse().unwrap(),
            repository: repository.to_owned(),
            token: Secret::new("a token"),
            context: None,
            pull_requests: true,
        }
    }

    fn pull(kind: ForgeKind) -> PullRequest {
        PullRequest {
            kind,
            repository: "Group/fleet".to_owned(),
            project: Some(42),
            number: 7,
        }
    }

    #[test]
    fn a_repository_is_known_by_its_path_and_at_gitlab_by_its_number() {
        for (kind, named, offered) in [
            (ForgeKind::Gitlab, "group/fleet", Offered::Taken),
            (ForgeKind::Gitlab, "42", Offered::Taken),
            (ForgeKind::Gitlab, "43", Offered::NotOurs),
            (ForgeKind::Github, "group/fleet", Offered::Taken),
            (ForgeKind::Github, "42", Offered::NotOurs),
        ] {
            let (lines, _queues) = PullLines::new(&[forge("forge", kind, named)], 1);
            assert_eq!(lines.offer(&pull(kind)), offered, "{kind:?} {named}");
        }
        let (lines, _queues) = PullLines::new(&[forge("f", ForgeKind::Gitea, "group/fleet")], 1);
        assert_eq!(lines.offer(&pull(ForgeKind::Github)), Offered::NotOurs);
    }

    #[test]
    fn a_line_that_is_full_is_said_to_be() {
        let forges = [
            forge("one", ForgeKind::Github, "group/fleet"),
            forge("two", ForgeKind::Gitea, "group/fleet"),
        ];
        let (lines, mut queues) = PullLines::new(&forges, 1);
        assert_eq!(lines.offer(&pull(ForgeKind::Github)), Offered::Taken);
        assert_eq!(lines.offer(&pull(ForgeKind::Github)), Offered::Full);
        assert_eq!(lines.offer(&pull(ForgeKind::Gitea)), Offered::Taken);
        assert_eq!(queues.get_mut("one").unwrap().try_recv().unwrap().number, 7);
        assert_eq!(lines.offer(&pull(ForgeKind::Github)), Offered::Taken);
    }
}
