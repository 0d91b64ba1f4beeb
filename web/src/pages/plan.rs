//! One plan: what it does, why it is held, and what was refused.

use crate::address;
use crate::clock::clock;
use crate::components::answer::{not_fresh, notice, page_skeleton, present};
use crate::components::ask::{Ask, ask};
use crate::components::rollback::{self, Chosen, Target};
use crate::components::shape::{shape, state};
use crate::components::{changes, copy, text};
use crate::format;
use crate::query::{self, Interest, Query, Question, SLOW_MILLIS};
use crate::tone::{self, Shape, Tone};
use jiff::Timestamp;
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;
use muster_schemas::access::{Needs, Role};
use muster_schemas::api::{FleetView, PlanOutcomeView, PlanStatus, PlanView};
use muster_schemas::plan::Prediction;
use serde_json::json;

/// The page.
pub fn page() -> AnyView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("plan").unwrap_or_default()));
    text::page_title(move || format!("Plan {}", format::short(&id.get())));
    let plan: Query<PlanView> = query::one(
        move || Question {
            path: address::plan(&id.get()),
            interest: Interest::Plans,
            keep: false,
        },
        SLOW_MILLIS,
    );
    let fleet: Query<FleetView> = expect_context();
    let chosen: Chosen = RwSignal::new(None);
    Effect::new(move |_| {
        id.track();
        chosen.set(None);
    });
    // To the revision that holds there is no way back.
    let target = Memo::new(move |_| {
        let revision = plan.data.with(|plan| {
            let plan = plan.as_ref()?;
            (plan.status == PlanStatus::Applied).then(|| plan.revision.clone())
        })?;
        let holds = fleet.data.with(|fleet| {
            let applied = fleet.as_ref().and_then(|fleet| fleet.revision.as_ref());
            applied.is_none_or(|applied| applied.commit == revision.commit)
        });
        (!holds).then_some(Target {
            revision,
            job: None,
            needs: Needs::Role(Role::Operator),
        })
    });
    view! {
        <nav class="crumbs" aria-label="Where you are">
            <a href="/plans">"Plans"</a><span aria-hidden="true">"/"</span>
            <code>{move || format::short(&id.get()).to_owned()}</code>
        </nav>
        {not_fresh(plan)}
        {present(plan, page_skeleton, move |plan| view! {
            {move || {
                let back = target.get().map(|target| rollback::button(chosen, target));
                plan.with(|plan| show(plan, back))
            }}
        }.into_any())}
        {rollback::panel(chosen)}
    }
    .into_any()
}

fn show(plan: &PlanView, back: Option<AnyView>) -> AnyView {
    let waits = plan.status == PlanStatus::Held;
    let holds = (waits && !plan.holds.is_empty()).then(|| {
        let reasons = plan
            .holds
            .iter()
            .map(|reason| view! { <li>{text::rich(&format::sentence(reason))}"."</li> })
            .collect_view();
        notice(
            "bad",
            Shape::Barred,
            "The guard holds this plan: nothing of it happens.".to_owned(),
            view! {
                <ul class="notes" data-test-holds>{reasons}</ul>
                {words(plan)}
                <p class="dim">"What runs now runs on. A later commit takes this plan's place."</p>
                {decide(plan)}
            }
            .into_any(),
        )
    });
    let refusal = plan.refusal.is_some().then(|| {
        notice(
            "wait",
            Shape::Cross,
            "This plan was refused: nothing of it happens.".to_owned(),
            ().into_any(),
        )
    });
    let was_held = (!waits).then(|| was_held(plan));
    let withheld = (!plan.withheld.is_empty()).then(|| {
        let withheld = plan.withheld.iter().map(|withheld| view! {
            <p class="withheld" data-test-withheld=withheld.change.job.clone()>
                <span class="state wait">{shape(Shape::Barred)}</span>
                <span>{text::rich(&format::sentence(&withheld.reason))}"."</span>
            </p>
            {changes::job_change(&withheld.change)}
        }).collect_view();
        view! {
            <div class="section-head"><h2>{format!("{} kept back", format::counted(plan.withheld.len() as u64, "job"))}</h2></div>
            {withheld}
        }
    });
    let refused = (!plan.refused.is_empty()).then(|| {
        view! {
            <section class="panel" data-test-refused-documents>
                <div class="panel-head">
                    <h2>{format!("{} in refused documents", format::counted(plan.refused.len() as u64, "fault"))}</h2>
                    <span class="dim">"Their jobs stay as they were."</span>
                </div>
                {plan.refused.iter().map(changes::refused).collect_view()}
            </section>
        }
    });
    let jobs = if plan.changes.is_empty() {
        view! { <p class="faint pad">"No job changes."</p> }.into_any()
    } else {
        plan.changes
            .iter()
            .map(changes::job_change)
            .collect_view()
            .into_any()
    };
    view! {
        <div class="page-head detail" data-test-plan=plan.id.clone() data-test-status=tone::plan(plan.status).word>
            <h1>{plan.revision.subject.clone()}</h1>
            {state(tone::plan(plan.status))}
            <span class="grow"></span>
            {back}
        </div>
        {holds}
        {refusal}
        <dl class="panel facts wide">
            {text::fact("Plan", view! { <span class="id"><code title=plan.id.clone()>{format::short(&plan.id).to_owned()}</code>{copy::button("plan's id", plan.id.clone())}</span> }.into_any())}
            {text::fact("Follows", plan.parent.as_ref().map_or_else(text::nothing, |parent| view! {
                <a class="link" href=address::plan(parent)><code>{format::short(parent).to_owned()}</code></a>
            }.into_any()))}
            {text::fact("Commit", text::id("commit", plan.revision.commit.as_str()))}
            {text::fact("Author", view! { <span class="clip" title=plan.revision.author.clone()>{format::author(&plan.revision.author).to_owned()}</span> }.into_any())}
            {plan.signed_by.clone().map(|signer| text::fact("Signed by", view! { <span class="clip" title=signer.clone()>{signer.clone()}</span> }.into_any()))}
            {text::fact("Committed", text::time(plan.revision.committed_at))}
            {text::fact("Made", text::time(plan.made_at))}
            {text::fact("Applied", text::maybe_time(plan.applied_at))}
            {text::fact("Starts", text::number(plan.starts.into()))}
            {text::fact("Replaces", text::number(plan.replaces.into()))}
            {text::fact("Stops", view! {
                <span class="number">{format::count(plan.stops.into())}</span>
                <span class="dim">{format!(" of {} running", format::count(plan.running.into()))}</span>
            }.into_any())}
        </dl>
        {was_held}
        {refused}
        <div class="section-head"><h2>{match plan.status {
            PlanStatus::Applied => format!("{} changed", format::counted(plan.changes.len() as u64, "job")),
            PlanStatus::Held | PlanStatus::Refused | PlanStatus::Superseded | PlanStatus::Proposed => format!("{} would change", format::counted(plan.changes.len() as u64, "job")),
        }}</h2></div>
        {jobs}
        {(!plan.changes.is_empty()).then(|| as_text(plan))}
        {withheld}
        {plan.prediction.as_ref().map(|prediction| predicted(prediction, plan.outcome.as_ref()))}
    }
    .into_any()
}

/// The changes in the words of the command line, letter by letter, for people who compare or quote them.
fn as_text(plan: &PlanView) -> AnyView {
    view! {
        <section class="panel">
            <details class="predicted-tasks">
                <summary>"As text, as "<code>"muster plan"</code>" says it"</summary>
                <pre class="code" data-test-plan-text>{plan.changes_text()}</pre>
            </details>
        </section>
    }
    .into_any()
}

/// So many starts, stops and tasks without a host are listed.
const LISTED: usize = 50;

/// What was predicted when the plan was made, beside what has come of it.
fn predicted(prediction: &Prediction, outcome: Option<&PlanOutcomeView>) -> AnyView {
    let happened = |value: fn(&PlanOutcomeView) -> String| {
        outcome.map_or_else(text::nothing, |outcome| {
            view! { <span class="number">{value(outcome)}</span> }.into_any()
        })
    };
    let seconds = |seconds: u32| format!("{} s", format::count(seconds.into()));
    let goes_on = prediction.goes_on.then_some(" and more");
    let tasks = prediction
        .blocked
        .iter()
        .take(LISTED)
        .map(|blocked| {
            (
                "no host",
                Tone::Bad,
                blocked.task.to_string(),
                blocked.reason.clone(),
            )
        })
        .chain(prediction.stops.iter().take(LISTED).map(|stop| {
            (
                "stops",
                Tone::Wait,
                stop.task.to_string(),
                format!("on {}: {}", stop.host, stop.reason),
            )
        }))
        .chain(prediction.starts.iter().take(LISTED).map(|start| {
            (
                "starts",
                Tone::Good,
                start.task.to_string(),
                format!("on {}", start.host),
            )
        }))
        .map(|(word, tone, task, how)| {
            view! {
                <li data-test-predicted=task.clone()>
                    <span class=format!("action {}", tone.class())>{word}</span>" "
                    <code>{task.clone()}</code>" "<span class="dim">{text::rich(&how)}</span>
                </li>
            }
        })
        .collect_view();
    let change = |before, after| format!("{before} → {after}");
    let parts = prediction
        .taken
        .iter()
        .map(|taken| {
            view! {
                <tr>
                    <th scope="row">{taken.part.clone()}</th>
                    <td class="right number">{change(taken.before.cpu.to_string(), taken.after.cpu.to_string())}</td>
                    <td class="right number">{change(format::bytes(taken.before.memory.0), format::bytes(taken.after.memory.0))}</td>
                    <td class="right number">{change(format::count(taken.before.containers.into()), format::count(taken.after.containers.into()))}</td>
                </tr>
            }
        })
        .collect_view();
    let has = &prediction.capacity;
    view! {
        <div class="section-head"><h2>"Predicted"</h2><span class="dim">"as it looked when the plan was made, not counting how long containers take to start"</span></div>
        <section class="panel" data-test-prediction>
            <table class="table compare">
                <thead><tr>
                    <th></th><th class="right">"Starts"</th><th class="right">"Stops"</th>
                    <th class="right">"Without a host"</th><th class="right">"Takes"</th>
                </tr></thead>
                <tbody>
                    <tr>
                        <th scope="row">"Predicted"</th>
                        <td class="right number" data-test-predicted-starts>{format::count(prediction.started.into())}</td>
                        <td class="right number">{format::count(prediction.stopped.into())}</td>
                        <td class="right number">{format::count(prediction.without_host.into())}</td>
                        <td class="right number">{seconds(prediction.seconds)}{goes_on}</td>
                    </tr>
                    <tr>
                        <th scope="row">"Happened so far"</th>
                        <td class="right" data-test-happened-starts>{happened(|outcome| format::count(outcome.started.into()))}</td>
                        <td class="right">{happened(|outcome| format::count(outcome.stopped.into()))}</td>
                        <td class="right">{text::nothing()}</td>
                        <td class="right">{outcome.and_then(|outcome| outcome.seconds).map_or_else(text::nothing, |took| view! { <span class="number">{seconds(took)}</span> }.into_any())}</td>
                    </tr>
                    <tr>
                        <th scope="row">"On the predicted host"</th>
                        <td class="right">{happened(|outcome| format::count(outcome.as_predicted.into()))}</td>
                        <td></td><td></td><td></td>
                    </tr>
                </tbody>
            </table>
            <details class="predicted-tasks">
                <summary>"Task by task"</summary>
                <ul class="notes plain">{tasks}</ul>
            </details>
            <details class="predicted-tasks">
                <summary>{format!("What is taken, of {} CPUs and {} of memory", has.cpu, format::bytes(has.memory.0))}</summary>
                <table class="table compare">
                    <thead><tr>
                        <th>"Before → after"</th><th class="right">"CPU"</th><th class="right">"Memory"</th><th class="right">"Containers"</th>
                    </tr></thead>
                    <tbody>{parts}</tbody>
                </table>
            </details>
        </section>
    }
    .into_any()
}

/// Why a plan that waits no more was held, and what people said to it.
fn was_held(plan: &PlanView) -> AnyView {
    if plan.holds.is_empty() && plan.approvals.is_empty() && plan.refusal.is_none() {
        return ().into_any();
    }
    let reasons = plan
        .holds
        .iter()
        .map(|reason| view! { <li>{text::rich(&format::sentence(reason))}"."</li> })
        .collect_view();
    let refusal = plan.refusal.as_ref().map(|word| {
        view! {
            <ul class="notes"><li data-test-refusal>
                "Refused by "{word.by.clone()}" "{text::time(word.at)}": "{text::rich(&word.reason)}
            </li></ul>
        }
    });
    view! {
        <section class="panel" data-test-was-held>
            <div class="panel-head"><h2>"Held"</h2><span class="dim">"before it was decided"</span></div>
            <div class="pad">
                <ul class="notes" data-test-holds>{reasons}</ul>
                {words(plan)}
                {refusal}
            </div>
        </section>
    }
    .into_any()
}

/// Who has approved it.
fn words(plan: &PlanView) -> AnyView {
    if plan.approvals.is_empty() {
        return ().into_any();
    }
    let clock = clock();
    let applied_at = plan.applied_at;
    let words = plan.approvals.iter().map(|word| {
        let end = word.expires_at.map(|until| view! {
            <span class="dim">{move || match standing(until, applied_at, clock.now()) {
                Standing::Counts => view! { " (expires "{text::time(until)}")" }.into_any(),
                Standing::Expired => view! { " (counts no more: it expired "{text::time(until)}")" }.into_any(),
                Standing::Done => ().into_any(),
            }}</span>
        });
        view! {
            <li data-test-approval=word.by.clone()>
                "Approved by "{word.by.clone()}" "{text::time(word.at)}": "{text::rich(&word.reason)}{end}
            </li>
        }
    }).collect_view();
    view! { <ul class="notes">{words}</ul> }.into_any()
}

/// How an approval stands.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// It counts until it expires.
    Counts,
    /// It expired before the plan went ahead.
    Expired,
    /// The plan went ahead while it counted: that it would have expired is of no interest.
    Done,
}

fn standing(until: Timestamp, applied_at: Option<Timestamp>, now: Timestamp) -> Standing {
    match applied_at {
        Some(applied) if applied < until => Standing::Done,
        Some(_) => Standing::Expired,
        None if now < until => Standing::Counts,
        None => Standing::Expired,
    }
}

/// The ways to say yes and no to a held plan.
fn decide(plan: &PlanView) -> AnyView {
    let needs = Needs::of_plan(plan.policy_changes, plan.apps.iter().cloned().collect());
    let approve = plan.can_be_approved.then(|| {
        let more = match plan.approvals_required {
            0 | 1 => String::new(),
            people => format!(" It goes ahead once {people} different people have approved it."),
        };
        ask(Ask {
            word: "Approve",
            will: format!(
                "This plan, and no other, goes ahead: {} start, {} are replaced, {} are taken away of {} that run. Stops keep to the budget.{more}",
                format::counted(plan.starts.into(), "task"),
                format::count(plan.replaces.into()),
                format::count(plan.stops.into()),
                format::count(plan.running.into()),
            ),
            path: format!("/plans/{}/approve", plan.id),
            body: json!({}),
            needs: needs.clone(),
            primary: true,
        })
    });
    let refuse = ask(Ask {
        word: "Refuse",
        will:
            "Nothing of this plan happens, whoever approves it. The next commit makes another plan."
                .to_owned(),
        path: format!("/plans/{}/refuse", plan.id),
        body: json!({}),
        needs,
        primary: false,
    });
    view! { <div class="asks">{approve}{refuse}</div> }.into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_counts_until_it_expires_and_what_went_ahead_by_it_stays_so() {
        let at = |hour| Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(hour);
        assert_eq!(standing(at(4), None, at(3)), Standing::Counts);
        assert_eq!(standing(at(4), None, at(4)), Standing::Expired);
        assert_eq!(standing(at(4), Some(at(3)), at(9)), Standing::Done);
        assert_eq!(standing(at(4), Some(at(5)), at(9)), Standing::Expired);
    }
}
