//! When a long-running command ends: on SIGTERM, on SIGINT, or with the process that started it.
//!
//! `muster up` holds the writing end of its children's standard input. However it ends, also by SIGKILL, the kernel closes
//! that end, and the children read the end of the file.

use std::io::Read;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A process that was told to end is given so long; `muster up` itself kills after 10 seconds, so this is for those that
/// have lost it.
const LAST_RESORT: Duration = Duration::from_secs(15);
/// The exit code of a process that had to be cut short.
const CUT_SHORT: i32 = 1;

/// A token that is cancelled when the process is told to end. A second signal ends it at once. Must be called in a runtime.
pub fn shutdown(exit_with_parent: bool) -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    if exit_with_parent {
        let token = token.clone();
        // A thread of its own: reading standard input blocks, and must not hold up the runtime's end.
        std::thread::Builder::new()
            .name("parent".to_owned())
            .spawn(move || {
                wait_for_end(std::io::stdin().lock());
                tracing::info!("the parent process has ended");
                token.cancel();
                std::thread::sleep(LAST_RESORT);
                tracing::error!("not done 15 s after being told to end; cut short");
                std::process::exit(CUT_SHORT);
            })?;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        for told_before in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if told_before {
                std::process::exit(CUT_SHORT);
            }
            cancelled.cancel();
        }
    });
    Ok(token)
}

/// Reads until there is nothing more to come.
fn wait_for_end(mut input: impl Read) {
    let mut scrap = [0; 256];
    loop {
        match input.read(&mut scrap) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn it_waits_for_the_end_and_not_for_what_is_written() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let waiting = std::thread::spawn(move || wait_for_end(reader));
        writer.write_all(&[b'x'; 1000]).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished());
        drop(writer);
        waiting.join().unwrap();
    }
}
