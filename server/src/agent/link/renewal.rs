//! Keeps the certificate valid: it is renewed at half of its life, so that a control plane may be away for the other half.

use super::{Identity, LinkSettings, pause_after};
use jiff::Timestamp;
use std::time::Duration;
use tokio::sync::watch;

/// The wall clock is looked at this often: it may be set while we sleep.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Renews for ever; each new identity is sent to `current`.
pub(super) async fn stay_valid(settings: &LinkSettings, current: watch::Sender<Identity>) {
    let mut failures: u32 = 0;
    loop {
        let identity = current.borrow().clone();
        let wait = identity.renew_at().duration_since(Timestamp::now());
        if wait.is_positive() {
            tokio::time::sleep(wait.unsigned_abs().min(LOOK_EVERY)).await;
            continue;
        }
        let error = match identity.renewed().await {
            Ok(renewed) => {
                tracing::info!(expires_at = %renewed.expires_at(), "renewed this host's certificate");
                failures = 0;
                let life = renewed
                    .expires_at()
                    .duration_since(Timestamp::now())
                    .unsigned_abs();
                current.send_replace(renewed);
                // By a clock that is a day ahead, every certificate has ended already; it must not be renewed all the time.
                tokio::time::sleep((life / 4).min(LOOK_EVERY)).await;
                continue;
            }
            Err(error) => error,
        };
        failures = failures.saturating_add(1);
        let has_ended = identity.expires_at() <= Timestamp::now();
        let pause = if error.is_refusal() {
            settings.refused_pause
        } else {
            // Never at once: what fails here for another reason than the network fails quickly.
            pause_after(settings, failures, rand::random()) + settings.first_pause
        };
        if has_ended {
            tracing::error!(%error, expires_at = %identity.expires_at(), "this host's certificate has ended and could not be renewed");
        } else {
            tracing::warn!(%error, expires_at = %identity.expires_at(), "this host's certificate could not be renewed yet");
        }
        tokio::time::sleep(pause).await;
    }
}
