//! Watching a branch: looked at every so often, and at once when somebody says that it moved.

use super::{Followed, Reader, Reading, Remote};
use jiff::Timestamp;
use muster_schemas::event::RepositoryTrouble;
use muster_schemas::ids::CommitId;
use muster_schemas::spec::Signatures;
use rand::RngExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between the beginnings of two looks there is at least this time, however often somebody says that the branch moved.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// A look takes at most as long as a fetch may, and then some minutes for ten thousand files on a busy machine. One that takes longer is
/// most likely lost in a damaged object, and somebody has to know.
const LOOK_WITHIN: Duration = Duration::from_secs(900);
/// The longest time between two looks at a repository that cannot be reached: somebody who mends it should not have to wait
/// much longer, and a wake is followed at once in any case.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Who asks for short intervals wants to know soon, also when there was trouble: so many of them are the longest pause, too.
const INTERVALS_IN_TROUBLE: u32 = 20;

/// Looks at a branch and tells what changed.
pub struct Poller {
    /// Where the specs come from.
    pub remote: Remote,
    /// What is followed now.
    pub followed: watch::Receiver<Followed>,
    /// Notified when the branch may have moved: it is looked at at once.
    pub wake: Arc<Notify>,
    /// The time from one look to the next; each is up to a fifth longer or shorter, so that many cells do not ask one forge
    /// at the same moment. While the repository cannot be reached it doubles from look to look, up to twenty times as much
    /// and five minutes.
    pub interval: Duration,
    /// Gets a reading when the head is another than the last one sent, after trouble, and when other signatures are asked for; gets trouble when it begins and
    /// when it becomes other trouble.
    pub out: mpsc::Sender<Result<Reading, RepositoryTrouble>>,
    /// When the repository was last looked at with success, whether or not there was anything new.
    pub read_at: watch::Sender<Option<Timestamp>>,
    /// What all the looks come to, as they begin and end.
    pub looks: watch::Sender<Looks>,
    /// Ends the watching.
    pub shutdown: CancellationToken,
}

/// The looks at the repository so far. Who wants to know what a look finds that begins from now on waits until one more than
/// have begun has ended.
#[derive(Debug, Clone, Default)]
pub struct Looks {
    /// So many have begun.
    pub begun: u64,
    /// So many have ended: all of those, or all but the last.
    pub ended: u64,
    /// What the last that ended found: the head, whether or not it is new, or trouble. None before the first has ended.
    pub found: Option<Result<CommitId, RepositoryTrouble>>,
}

/// What was sent last.
enum Sent {
    Nothing,
    /// With the signatures that were asked for.
    Reading(CommitId, Option<Signatures>),
    Trouble(RepositoryTrouble),
}

impl Poller {
    /// Watches until it is shut down, or nobody listens any more.
    pub async fn run(mut self) {
        let mut sent = Sent::Nothing;
        let reader = Arc::new(Reader::default());
        let mut unreached = 0;
        loop {
            let began = Instant::now();
            self.looks.send_modify(|looks| looks.begun += 1);
            let followed = self.followed.borrow_and_update().clone();
            let known = match &sent {
                Sent::Reading(commit, asked) if *asked == followed.signatures => {
                    Some(commit.clone())
                }
                Sent::Reading(..) | Sent::Nothing | Sent::Trouble(_) => None,
            };
            let look = look_in_thread(
                Arc::clone(&reader),
                self.remote.clone(),
                followed.clone(),
                known.clone(),
            );
            tokio::pin!(look);
            let mut late = false;
            let found = loop {
                tokio::select! {
                    found = &mut look => break found,
                    () = tokio::time::sleep(LOOK_WITHIN), if !late => {
                        // It may never end, and another would not either: it is waited for, and said.
                        late = true;
                        let trouble = too_long();
                        tracing::error!(%trouble, "the repository cannot be followed");
                        sent = Sent::Trouble(trouble.clone());
                        tokio::select! {
                            sent = self.out.send(Err(trouble)) => if sent.is_err() { return },
                            () = self.shutdown.cancelled() => return,
                        }
                    }
                    // The thread is left to its bounds; it holds nothing that anybody waits for.
                    () = self.shutdown.cancelled() => return,
                }
            };
            let head = match &found {
                Ok(Some(reading)) => Ok(reading.revision.commit.clone()),
                // Nothing is new: it is the one that is known.
                Ok(None) => known.ok_or_else(no_head),
                Err(trouble) => Err(trouble.clone()),
            };
            let message = match found {
                Ok(found) => {
                    unreached = 0;
                    self.read_at.send_replace(Some(Timestamp::now()));
                    found.map(|reading| {
                        let commit = reading.revision.commit.clone();
                        sent = Sent::Reading(commit, followed.signatures.clone());
                        Ok(reading)
                    })
                }
                Err(trouble) => {
                    // What is wrong with a commit is mended by the next one, which is to be seen as soon as ever.
                    unreached = match &trouble {
                        RepositoryTrouble::Unreachable { .. } => unreached + 1,
                        RepositoryTrouble::NoBranch { .. }
                        | RepositoryTrouble::Empty { .. }
                        | RepositoryTrouble::UnrelatedHistory { .. }
                        | RepositoryTrouble::Unsigned { .. }
                        | RepositoryTrouble::Unreadable { .. } => 0,
                    };
                    let same = matches!(&sent, Sent::Trouble(before) if *before == trouble);
                    sent = Sent::Trouble(trouble.clone());
                    (!same).then_some(Err(trouble))
                }
            };
            if let Some(message) = message {
                match &message {
                    Ok(reading) => {
                        tracing::info!(revision = %reading.revision.commit, "the repository was read");
                    }
                    Err(trouble) => tracing::warn!(%trouble, "the repository cannot be followed"),
                }
                tokio::select! {
                    sent = self.out.send(message) => if sent.is_err() { return },
                    () = self.shutdown.cancelled() => return,
                }
            }
            // After what it found was handed on: who waited finds the plan or the trouble on its way.
            self.looks.send_modify(|looks| {
                looks.ended = looks.begun;
                looks.found = Some(head);
            });
            let pause = jittered(pause_after(self.interval, unreached), rand::rng().random());
            tokio::select! {
                () = tokio::time::sleep_until(began + pause) => {}
                () = self.wake.notified() => tokio::time::sleep_until(began + SHORTEST_PAUSE).await,
                () = asks_otherwise(&mut self.followed, &followed.signatures) => {
                    tokio::time::sleep_until(began + SHORTEST_PAUSE).await;
                }
                () = self.shutdown.cancelled() => return,
            }
        }
    }
}

/// A look that knew no head and found nothing new; the reader does not do that.
fn no_head() -> RepositoryTrouble {
    RepositoryTrouble::Unreachable {
        message: "reading it found no head; look again".to_owned(),
    }
}

fn too_long() -> RepositoryTrouble {
    RepositoryTrouble::Unreachable {
        message: format!(
            "reading it has not ended after {} s; run `git fsck` on it, then restart the control plane",
            LOOK_WITHIN.as_secs()
        ),
    }
}

/// Returns once other signatures are asked for than before: what was read meanwhile has to be read again.
async fn asks_otherwise(followed: &mut watch::Receiver<Followed>, before: &Option<Signatures>) {
    let nobody_tells = followed
        .wait_for(|now| now.signatures != *before)
        .await
        .is_err();
    if nobody_tells {
        std::future::pending().await
    }
}

/// Looks in a thread of its own rather than in the runtime's pool: the runtime waits for its pool when it ends, and a fetch
/// may take long.
async fn look_in_thread(
    reader: Arc<Reader>,
    remote: Remote,
    followed: Followed,
    known: Option<CommitId>,
) -> Result<Option<Reading>, RepositoryTrouble> {
    let (answer, answered) = oneshot::channel();
    let spawned = std::thread::Builder::new()
        .name("git".into())
        .spawn(move || {
            let _ = answer.send(reader.read_new(&remote, &followed, known.as_ref()));
        });
    let broken = |message: String| Err(RepositoryTrouble::Unreachable { message });
    if let Err(error) = spawned {
        return broken(format!("no thread can be started to read it: {error}"));
    }
    match answered.await {
        Ok(found) => found,
        Err(_) => broken("reading it failed within the control plane; its log says more".into()),
    }
}

/// The pause after so many looks in a row in which the repository could not be reached.
fn pause_after(interval: Duration, unreached: u32) -> Duration {
    let longest = LONGEST_PAUSE
        .min(interval.saturating_mul(INTERVALS_IN_TROUBLE))
        .max(interval);
    let doublings = unreached.saturating_sub(1).min(16);
    interval.saturating_mul(1 << doublings).min(longest)
}

/// The interval, up to a fifth shorter or longer; `random` is from 0 to 1.
fn jittered(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(0.8 + 0.4 * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_differs_by_at_most_a_fifth() {
        let interval = Duration::from_secs(10);
        assert_eq!(jittered(interval, 0.0), Duration::from_secs(8));
        assert_eq!(jittered(interval, 0.5), Duration::from_secs(10));
        assert_eq!(jittered(interval, 1.0), Duration::from_secs(12));
    }

    #[test]
    fn who_cannot_be_reached_is_asked_less_and_less_often() {
        let pauses = |interval, until| -> Vec<u64> {
            let pause = |unreached| pause_after(Duration::from_secs(interval), unreached).as_secs();
            (0..until).map(pause).collect()
        };
        assert_eq!(pauses(15, 9), [15, 15, 30, 60, 120, 240, 300, 300, 300]);
        assert_eq!(pauses(1, 8), [1, 1, 2, 4, 8, 16, 20, 20]);
        assert_eq!(
            pauses(900, 4),
            [900; 4],
            "never more often than when all is well"
        );
        assert_eq!(
            pause_after(Duration::from_secs(15), u32::MAX),
            LONGEST_PAUSE
        );
    }
}
