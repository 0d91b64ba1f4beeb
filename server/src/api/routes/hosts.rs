//! Hosts.

use super::{Id, PastRefused, Refused};
use crate::api::past::Dated;
use crate::api::problem::Failure;
use crate::api::query::{Query, with_cursor};
use crate::api::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use muster_core::fleet::{Fleet, Host};
use muster_core::view::{HostFilter, host_view, hosts};
use muster_schemas::api::{HostView, List, Problem};
use muster_schemas::ids::HostId;

/// Hosts in the order in which they enrolled.
#[utoipa::path(
    get, path = "/api/v1/hosts", tag = "hosts", operation_id = "hosts",
    description = "Hosts in the order in which they enrolled.",
    params(
        ("cursor" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, description = "So many at most, from 1 to 1000; default 100"),
        ("q" = Option<String>, Query, description = "Part of the id, name, address, zone or engine"),
        ("host" = Option<Vec<String>>, Query, description = "Hosts, by id or name"),
        ("zone" = Option<Vec<String>>, Query, description = "Zones"),
        ("reachable" = Option<Vec<bool>>, Query, description = "Whether the agent is connected"),
        ("ready" = Option<Vec<bool>>, Query, description = "Whether it can take tasks"),
        ("label" = Option<Vec<String>>, Query, description = "Labels, as `key=value`"),
        ("at" = Option<String>, Query, description = "The fleet as it was at this time (RFC 3339) or after this record (its number); now where it is left out. The headers `muster-as-of-seq` and `muster-as-of` say which record and time the answer is of"),
    ),
    responses((status = 200, description = "A page of hosts", body = List<HostView>), Refused, PastRefused),
)]
pub async fn list_hosts(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Dated<List<HostView>>, Failure> {
    let page = query.page()?;
    let filter = HostFilter {
        q: query.one("q")?,
        host: query.all("host"),
        zone: query.all("zone"),
        reachable: query.flags("reachable")?,
        ready: query.flags("ready")?,
        label: query.labels()?,
    };
    let moment = query.moment()?;
    query.finish()?;
    let scene = state.scene(moment).await?;
    Ok(scene.answer(with_cursor(
        scene.look(|fleet, now| hosts(fleet, &filter, &page, now)),
    )))
}

/// One host.
#[utoipa::path(
    get, path = "/api/v1/hosts/{host}", tag = "hosts", operation_id = "host",
    description = "A host, by its id or its name.",
    params(
        ("host" = String, Path, description = "The host's id, or its name"),
        ("at" = Option<String>, Query, description = "The fleet as it was at this time (RFC 3339) or after this record (its number); now where it is left out. The headers `muster-as-of-seq` and `muster-as-of` say which record and time the answer is of"),
    ),
    responses(
        (status = 200, description = "The host", body = HostView),
        Refused,
        PastRefused,
        (status = 404, description = "There is no such host", body = Problem),
    ),
)]
pub async fn get_host(
    State(state): State<ApiState>,
    Id(id): Id,
    mut query: Query,
) -> Result<Dated<HostView>, Failure> {
    let moment = query.moment()?;
    query.finish()?;
    let scene = state.scene(moment).await?;
    let host = scene.look(|fleet, now| Ok(host_view(fleet, known_host(fleet, &id)?, now)));
    host.map(|host| scene.answer(host))
}

/// The one host with an id or a name: what changes something must not guess which of several is meant.
pub(super) fn the_host<'a>(fleet: &'a Fleet, id: &str) -> Result<&'a Host, Failure> {
    let host = known_host(fleet, id)?;
    let same: Vec<String> = fleet
        .hosts
        .values()
        .filter(|other| other.name == id)
        .map(|host| host.id.to_string())
        .collect();
    if host.name == id && same.len() > 1 {
        return Err(Failure::new(
            StatusCode::CONFLICT,
            "ambiguous-host",
            format!("{} hosts are named `{id}`: {}", same.len(), same.join(", ")),
            "say which one is meant by its id; `muster get hosts -o wide` shows which of them is connected",
        ));
    }
    Ok(host)
}

/// The host with an id or a name.
pub(super) fn known_host<'a>(fleet: &'a Fleet, id: &str) -> Result<&'a Host, Failure> {
    let by_id = id
        .parse::<HostId>()
        .ok()
        .and_then(|id| fleet.hosts.get(&id));
    // Of several with one name the one that enrolled last is meant: the others are its earlier lives.
    by_id
        .or_else(|| fleet.hosts.values().rev().find(|host| host.name == id))
        .ok_or_else(|| {
            Failure::not_found(
                format!("there is no host `{id}`"),
                "GET /api/v1/hosts lists the hosts",
            )
        })
}
