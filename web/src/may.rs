//! What the person in front of the console may do: what they may not is not offered.

use crate::query::{self, Interest, Query, Question, SLOW_MILLIS};
use leptos::prelude::*;
use muster_schemas::access::Needs;
use muster_schemas::api::SessionView;

/// The session with its rights, which follow the policy.
#[derive(Clone, Copy)]
pub struct May(Query<SessionView>);

impl May {
    /// Asks for the rights, and again whenever a plan may have brought another policy.
    pub fn begin() -> Self {
        Self(query::one_of_now::<SessionView>(
            || Question {
                path: "/session".to_owned(),
                interest: Interest::Plans,
                keep: true,
            },
            SLOW_MILLIS,
        ))
    }

    /// Who it is, once that is known.
    pub fn session(self) -> Option<SessionView> {
        self.0.data.get()
    }
}

/// Whether what takes this may be offered. Until it is known, nothing is.
pub fn may(needs: Needs) -> Signal<bool> {
    let may: May = expect_context();
    Signal::derive(move || {
        may.0.data.with(|session| {
            session
                .as_ref()
                .is_some_and(|session| session.rights.allow(&needs))
        })
    })
}
