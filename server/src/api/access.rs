//! Who may do what: each change is asked of the policy before anything of it is done.

use super::auth::Caller;
use super::problem::Failure;
use super::state::ApiState;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use muster_core::access::{needs, rights};
use muster_core::decide::Command;
use muster_schemas::access::{Needs, Rights, Role};
use muster_schemas::state::Actor;

/// What changes nothing of the cell, whatever its method says.
const READS: [&str; 2] = ["/api/v1/session", "/api/v1/plan"];

impl ApiState {
    /// What somebody may do now.
    pub fn rights(&self, caller: &Caller) -> Rights {
        self.read(|fleet| rights(fleet, &caller.name))
    }

    /// Whether somebody may do what takes this.
    ///
    /// # Errors
    /// 403, with what they may and what it takes.
    pub fn allow(&self, caller: &Caller, needs: &Needs) -> Result<(), Failure> {
        let rights = self.rights(caller);
        if rights.allow(needs) {
            return Ok(());
        }
        Err(Failure::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("`{}` {rights}; {needs}", caller.name),
            "the policy's `access` in the repository says who may do what; GET /api/v1/session tells what a token may",
        ))
    }

    /// Gives a command in somebody's name, if they may; answers with the journal's last sequence number once it is durable.
    ///
    /// # Errors
    /// 403 where they may not; else what the command was answered.
    pub async fn command(&self, command: Command, caller: &Caller) -> Result<u64, Failure> {
        let needs = self.read(|fleet| needs(fleet, &command));
        self.allow(caller, &needs)?;
        let actor = Actor::Person(caller.name.clone());
        Ok(self.cell.command(command, actor).await?)
    }
}

/// Who may only read is refused every change, before its body is looked at: a route that forgets to ask lets no viewer in.
pub async fn viewers_read(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let reads = request.method().is_safe() || READS.contains(&request.uri().path());
    // Routes that are open to everybody have no caller.
    let caller = request.extensions().get::<Caller>();
    if let Some(caller) = caller
        && !reads
        && let Err(failure) = state.allow(caller, &Needs::Role(Role::Owner))
    {
        return failure.into_response();
    }
    next.run(request).await
}
