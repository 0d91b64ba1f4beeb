//! Processes of a container that the engine says never started. A Docker daemon that is killed between its word to containerd to
//! start a container and its own note of that forgets the start: its successor calls the container created, and none of its
//! commands reaches the process. The kernel still knows: a container's processes are in a control group that bears its id.

use crate::runtime::RuntimeError;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::{Duration, Instant};

const OPERATION: &str = "end what was forgotten";
/// A killed process is gone within milliseconds, unless it hangs in the kernel.
const LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);
/// Engines name containers by so many hexadecimal digits.
const ID_LENGTH: usize = 64;

/// Kills them, and returns how many there were once none is left.
pub(super) async fn end(container: &str) -> Result<usize, RuntimeError> {
    let failed = |message: String| RuntimeError::Failed {
        operation: OPERATION,
        message,
    };
    if container.len() != ID_LENGTH || !container.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(failed(format!("`{container}` is no container's full id")));
    }
    let id = container.to_owned();
    tokio::task::spawn_blocking(move || kill_all(Path::new("/proc"), &id))
        .await
        .map_err(|error| failed(error.to_string()))?
        .map_err(failed)
}

fn kill_all(proc: &Path, id: &str) -> Result<usize, String> {
    let deadline = Instant::now() + LIMIT;
    let mut found = std::collections::BTreeSet::new();
    loop {
        let left = processes(proc, id).map_err(|error| format!("cannot read /proc: {error}"))?;
        if left.is_empty() {
            return Ok(found.len());
        }
        if Instant::now() > deadline {
            return Err(format!(
                "the processes {left:?} of a container that the engine has forgotten do not end"
            ));
        }
        for pid in left {
            found.insert(pid);
            let Some(process) = Pid::from_raw(pid) else {
                continue;
            };
            match kill_process(process, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(format!("cannot end the process {pid}: {error}")),
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// The processes in control groups of this container. Those that have ended and were not waited for yet are in none.
fn processes(proc: &Path, id: &str) -> std::io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(proc)? {
        let entry = entry?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // One that ends while it is looked at is not there any more.
        let Ok(groups) = std::fs::read_to_string(entry.path().join("cgroup")) else {
            continue;
        };
        if groups.contains(id) {
            let ended = std::fs::read_to_string(entry.path().join("stat")).is_ok_and(|stat| {
                // The state follows the name, which is in parentheses and may hold anything.
                stat.rsplit_once(") ")
                    .is_some_and(|(_, rest)| rest.starts_with('Z'))
            });
            if !ended {
                found.push(pid);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_processes_are_known_by_their_control_group() {
        let id = "ab".repeat(32);
        let proc = tempfile::tempdir().unwrap();
        let process = |pid: &str, cgroup: &str, stat: &str| {
            let folder = proc.path().join(pid);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("cgroup"), cgroup).unwrap();
            std::fs::write(folder.join("stat"), stat).unwrap();
        };
        process(
            "11",
            &format!("9:pids:/docker/{id}\n1:cpu:/\n"),
            "11 (web) S 1",
        );
        process(
            "12",
            &format!("0::/system.slice/docker-{id}.scope\n"),
            "12 (a) Z b) R 1",
        );
        process("13", &format!("0::/docker/{id}\n"), "13 (a) b) Z 1");
        process(
            "14",
            &format!("0::/docker/{}\n", "cd".repeat(32)),
            "14 (web) S 1",
        );
        std::fs::write(proc.path().join("version"), "Linux").unwrap();
        let mut found = processes(proc.path(), &id).unwrap();
        found.sort_unstable();
        assert_eq!(found, [11, 12]);
    }

    #[tokio::test]
    async fn a_name_that_could_fit_other_containers_ends_nothing() {
        for name in ["", "docker", &"ab".repeat(6), &"xy".repeat(32)] {
            assert!(end(name).await.is_err(), "{name}");
        }
        assert_eq!(end(&"0".repeat(64)).await, Ok(0));
    }
}
