//! The API's description, generated from the handlers themselves.

use super::state::ApiState;
use utoipa::openapi::OpenApi as Description;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

/// What stands above the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Muster",
        description = "The API of one cell. Lists answer `{\"items\": […], \"next\": …, \"total\": …}`: `next` is the `cursor` of the next page, null on the last. A filter that is given several times wants any of its values; several filters want all. A parameter that does not exist is refused. Where a read takes `at`, it answers from the fleet as it was then; a command with `at` is refused. Every answer with a status of 400 and above is a Problem.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "fleet", description = "The cell at a glance"),
        (name = "jobs", description = "What the repository asks for"),
        (name = "tasks", description = "What runs"),
        (name = "hosts", description = "Where it runs"),
        (name = "plans", description = "What each revision changed"),
        (name = "events", description = "What happened"),
        (name = "past", description = "What was, and what has changed since"),
        (name = "session", description = "Who asks"),
        (name = "commands", description = "What people do besides committing"),
        (name = "operations", description = "For those who run the control plane"),
    ),
    modifiers(&Security),
    security(("token" = []), ("session" = [])),
)]
struct Head;

struct Security;

impl Modify for Security {
    fn modify(&self, description: &mut Description) {
        let components = description.components.get_or_insert_default();
        components.add_security_scheme(
            "token",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        );
        components.add_security_scheme(
            "session",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                "muster_session_*",
                "What POST /api/v1/session sets; its name ends in eight digits that differ from cell to cell.",
            ))),
        );
    }
}

/// A router that describes what it routes.
pub(super) fn described() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Head::openapi())
}

/// The description as it is committed to `schemas/json/openapi.json` and served at `/api/v1/openapi.json`.
pub fn json() -> String {
    let (_, description) = super::server::routes().split_for_parts();
    let mut json = description
        .to_pretty_json()
        .expect("the description has only text keys, so it is always JSON");
    json.push('\n');
    json
}
