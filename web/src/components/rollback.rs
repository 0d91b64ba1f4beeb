//! The way back: a button beside each revision, and the panel that shows what going back to it would do, asks why, and tells what came
//! of it.

use crate::address;
use crate::address::Filters;
use crate::api::{self, Trouble};
use crate::components::shape::{icon, icons, shape};
use crate::components::{changes, text};
use crate::format;
use crate::may::may;
use crate::past::past;
use crate::query::{self, Interest, Query, Question};
use crate::tone::Shape;
use leptos::prelude::*;
use muster_schemas::access::Needs;
use muster_schemas::api::{CommitAnswer, List, PlanPreview, PlanView};
use muster_schemas::plan::Revision;
use serde_json::json;

/// Where to go back to.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The revision.
    pub revision: Revision,
    /// Only this job's document; without it, all files.
    pub job: Option<String>,
    /// What it takes.
    pub needs: Needs,
}

/// What the panel is about; none while it is closed.
pub type Chosen = RwSignal<Option<Target>>;

/// The button that opens the panel.
pub fn button(chosen: Chosen, target: Target) -> AnyView {
    let commit = target.revision.commit.as_str().to_owned();
    let past = past();
    let may = may(target.needs.clone());
    view! {
        <button
            type="button"
            class="button"
            // Who looks at the past must not act on the present by it.
            hidden=move || !past.is_now() || !may.get()
            data-test-rollback=commit
            on:click=move |_| chosen.set(Some(target.clone()))
        >
            "Roll back to this"
        </button>
    }
    .into_any()
}

/// The panel. It stands beside the page, which stays usable.
pub fn panel(chosen: Chosen) -> AnyView {
    let past = past();
    view! { {move || chosen.get().filter(|_| past.is_now()).map(|target| open(chosen, &target))} }
        .into_any()
}

fn open(chosen: Chosen, target: &Target) -> AnyView {
    let commit = target.revision.commit.as_str().to_owned();
    let job = target.job.clone();
    let done: RwSignal<Option<CommitAnswer>> = RwSignal::new(None);
    let will = match &target.job {
        Some(job) => format!("A commit puts the document of `{job}` back as it was then. It is planned and rolled out as any other commit."),
        None => "A commit puts all files back as they were then. It is planned and rolled out as any other commit.".to_owned(),
    };
    view! {
        <aside class="side-panel wide" aria-label="Roll back" data-test-panel="rollback"
            on:keydown=move |event| {
                if event.key() == "Escape" {
                    chosen.set(None);
                }
            }
        >
            <div class="panel-head">
                <h2>"Roll back"</h2>
                <span class="grow"></span>
                <button type="button" class="icon-button" aria-label="Close" on:click=move |_| chosen.set(None)>
                    {icon(icons::CLOSE)}
                </button>
            </div>
            <div class="panel-body pad">
                <p>{text::revision(&target.revision)}</p>
                <p class="dim">{format::author(&target.revision.author).to_owned()}", "{text::time(target.revision.committed_at)}</p>
                {move || match done.get() {
                    Some(answer) => came(&answer),
                    None => view! {
                        <p>{text::rich(&will)}</p>
                        {preview(&commit, job.clone())}
                        {form(chosen, &commit, job.clone(), done)}
                    }
                    .into_any(),
                }}
            </div>
        </aside>
    }
    .into_any()
}

/// What it would do, worked out by the control plane against the fleet as it is now.
fn preview(commit: &str, job: Option<String>) -> AnyView {
    let answer: RwSignal<Option<Result<PlanPreview, Trouble>>> = RwSignal::new(None);
    let body = json!({ "revision": commit });
    leptos::task::spawn_local(async move {
        let preview = api::post::<PlanPreview>("/plan", &body).await;
        answer.try_set(Some(preview));
    });
    view! {
        <div data-test-preview=move || answer.with(Option::is_some).then_some("there")>
            {move || answer.with(|answer| match answer {
                None => view! { <p class="faint" aria-busy="true">"Working out what it would do …"</p> }.into_any(),
                Some(Err(trouble)) => {
                    let (message, _) = trouble.words();
                    view! { <p class="dim">"What it would do could not be worked out: "{text::rich(&message)}</p> }.into_any()
                }
                Some(Ok(preview)) => would(preview, job.as_deref()),
            })}
        </div>
    }
    .into_any()
}

fn would(preview: &PlanPreview, job: Option<&str>) -> AnyView {
    let changes: Vec<AnyView> = preview
        .plan
        .changes
        .iter()
        .filter(|change| job.is_none_or(|job| change.job == job))
        .map(changes::job_change)
        .collect();
    let faults = preview.plan.refused.iter();
    let faults: Vec<AnyView> = faults
        .filter(|fault| {
            job.is_none_or(|job| fault.job.as_ref().is_none_or(|it| it.as_str() == job))
        })
        .map(changes::refused)
        .collect();
    // What is refused stays as it is: that is no "nothing changes".
    let refused = (!faults.is_empty()).then(|| {
        view! {
            <p class="withheld"><span class="state bad">{shape(Shape::Cross)}</span><span>"These documents would be refused, and their jobs stay as they are:"</span></p>
            {faults}
        }
    });
    if changes.is_empty() && refused.is_none() {
        return view! { <p class="dim">"No job would change: it runs as it did then."</p> }
            .into_any();
    }
    // Whether all of it would be held says nothing of one job.
    let held = (preview.would_be_held && job.is_none()).then(|| {
        let reasons = preview
            .plan
            .holds
            .iter()
            .map(|reason| view! { <li>{text::rich(&format::sentence(reason))}"."</li> })
            .collect_view();
        view! {
            <p class="withheld"><span class="state wait">{shape(Shape::Barred)}</span><span>"The guard would hold it until somebody approves it:"</span></p>
            <ul class="notes">{reasons}</ul>
        }
    });
    view! { {held}{refused}{changes} }.into_any()
}

/// The question why, and the button that does it.
fn form(
    chosen: Chosen,
    commit: &str,
    job: Option<String>,
    done: RwSignal<Option<CommitAnswer>>,
) -> AnyView {
    let reason = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let trouble: RwSignal<Option<Trouble>> = RwSignal::new(None);
    let commit = commit.to_owned();
    let input = NodeRef::<leptos::html::Input>::new();
    // Who opened the panel by the keyboard goes on in it.
    input.on_load(|field| {
        let _ = field.focus();
    });
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let words = reason.get_untracked().trim().to_owned();
        if busy.get_untracked() || words.is_empty() {
            return;
        }
        busy.set(true);
        let body = json!({ "to": commit, "job": job, "reason": words });
        leptos::task::spawn_local(async move {
            match api::post::<CommitAnswer>("/rollback", &body).await {
                Ok(answer) => {
                    done.try_set(Some(answer));
                }
                Err(error) => {
                    trouble.try_set(Some(error));
                }
            }
            busy.try_set(false);
        });
    };
    view! {
        <form class="ask-form" data-test-ask-form="rollback" on:submit=submit>
            <label for="why-rollback">"Why? It stands in the commit beside your name."</label>
            <div class="ask-row">
                <input
                    id="why-rollback"
                    class="field"
                    node_ref=input
                    maxlength="1000"
                    autocomplete="off"
                    required
                    prop:value=reason
                    on:input=move |event| reason.set(event_target_value(&event))
                />
                <button type="submit" class="button primary" disabled=move || busy.get() || reason.with(|text| text.trim().is_empty())>
                    {move || if busy.get() { "One moment …" } else { "Roll back" }}
                </button>
                <button type="button" class="button plain" on:click=move |_| chosen.set(None)>"Cancel"</button>
            </div>
            <div role="alert">
                {move || trouble.get().map(|trouble| {
                    let (message, hint) = trouble.words();
                    view! {
                        <p class="ask-trouble" data-test-ask-trouble>
                            <span class="state bad">{shape(Shape::Cross)}</span>
                            <span>{text::rich(&format::sentence(&message))}" "<span class="dim">{text::rich(&format::sentence(&hint))}</span></span>
                        </p>
                    }
                })}
            </div>
        </form>
    }
    .into_any()
}

/// What came of it: the commit, and its plan once there is one.
fn came(answer: &CommitAnswer) -> AnyView {
    let commit = answer.commit.clone();
    let message = text::rich(&format::sentence(&answer.message));
    if !answer.changed {
        return view! { <p role="status" data-test-rolled-back="unchanged">{message}"."</p> }
            .into_any();
    }
    let asked = commit.clone();
    let plans: Query<List<PlanView>> = query::many_of_now(
        move || Question {
            path: Filters::default().with("q", &asked).on("/plans"),
            interest: Interest::Plans,
            keep: true,
        },
        RwSignal::new(1usize).into(),
    );
    let plan = Memo::new(move |_| {
        let first = |list: &List<PlanView>| list.items.first().map(|plan| plan.id.clone());
        plans.data.with(|list| list.as_ref().and_then(first))
    });
    view! {
        <div role="status" data-test-rolled-back=commit.clone()>
            <p>{message}"."</p>
            <dl class="facts">{text::fact("Commit", text::id("commit", &commit))}</dl>
            {move || match plan.get() {
                Some(plan) => view! { <p><a class="link strong" href=address::plan(&plan) data-own-moment="" data-test-rollback-plan>"See its plan"</a></p> }.into_any(),
                None => view! { <p class="faint">"Its plan is made within moments …"</p> }.into_any(),
            }}
        </div>
    }
    .into_any()
}
