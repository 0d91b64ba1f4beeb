//! A question to the API whose answer stays fresh: asked again when an event concerns it, when the connection stands
//! again, and now and then anyway. The last good answer stays on the page meanwhile, so that nothing jumps.

use crate::address;
use crate::api::{self, Answer, Trouble};
use crate::live::{Listener, Live, live};
use crate::past::{Past, past};
use crate::session::Who;
use gloo_timers::callback::{Interval, Timeout};
use leptos::prelude::*;
use muster_schemas::api::{EventView, List};
use serde::de::DeserializeOwned;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

/// Events come in bursts: a question is asked this long after the first of them, once for all.
const GATHER_MILLIS: u32 = 150;

/// How often a question is asked without a cause, for what changes without an event.
pub const SLOW_MILLIS: u32 = 15_000;

/// Which events make the answer stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interest {
    /// All of them.
    All,
    /// Those about a job or one of its tasks.
    Job(String),
    /// Those about a task.
    Task(String),
    /// Those about plans and the repository.
    Plans,
    /// Those about deploys, and about what they wait for: plans, jobs and tasks.
    Deploys,
    /// None: only time does.
    Nothing,
}

impl Interest {
    /// Whether the event is one of them.
    pub fn concerns(&self, event: &EventView) -> bool {
        match self {
            Interest::All => true,
            // What happens to a host concerns its tasks too, and their jobs: they may have become unreachable, or be so
            // no more.
            Interest::Job(job) => {
                event.plan.is_some()
                    || event.job.as_ref() == Some(job)
                    || (event.job.is_none() && event.host.is_some())
            }
            Interest::Task(task) => {
                event.task.as_ref() == Some(task) || (event.task.is_none() && event.host.is_some())
            }
            Interest::Plans => event.plan.is_some() || event.kind.starts_with("repository"),
            Interest::Deploys => {
                event.kind.starts_with("deploy") || event.plan.is_some() || event.job.is_some()
            }
            Interest::Nothing => false,
        }
    }
}

/// A question and its answer.
pub struct Query<T: Send + Sync + 'static> {
    /// The last good answer to this very question.
    pub data: RwSignal<Option<T>>,
    /// Why the last attempt brought none.
    pub trouble: RwSignal<Option<Trouble>>,
    fetcher: StoredValue<Rc<Fetcher<T>>, LocalStorage>,
}

impl<T: Send + Sync + 'static> Clone for Query<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Send + Sync + 'static> Copy for Query<T> {}

impl<T: PartialEq + Send + Sync + 'static> Query<T> {
    /// Asks again at once.
    pub fn again(self) {
        self.fetcher
            .with_value(|fetcher| Rc::clone(fetcher).fetch());
    }
}

/// What a question is: where to ask, and which events make the answer stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The path under `/api/v1`, with its query; empty while there is nothing to ask.
    pub path: String,
    /// The events.
    pub interest: Interest,
    /// Whether the answer to the question before stays until this one's is there: so for a list whose filters change,
    /// not for another thing's page.
    pub keep: bool,
}

struct Fetcher<T: Send + Sync + 'static> {
    me: Weak<Self>,
    question: RefCell<Question>,
    load: Box<dyn Fn(String) -> Answer<T>>,
    data: RwSignal<Option<T>>,
    trouble: RwSignal<Option<Trouble>>,
    live: Live,
    who: Who,
    past: Past,
    /// The question's path, whatever the moment.
    about: RefCell<String>,
    /// Whether it is about the past, which does not change.
    still: Cell<bool>,
    /// Whether what is shown is of another moment than what is asked for.
    awaits: Cell<bool>,
    /// Counts questions, so that a late answer to an older one is not taken.
    asked: Cell<u64>,
    under_way: Cell<bool>,
    /// Something happened while an answer was under way: ask again when it is there.
    stale: Cell<bool>,
    gathering: RefCell<Option<Timeout>>,
    slow: RefCell<Option<Interval>>,
}

/// A question whose answer is one thing.
pub fn one<T>(question: impl Fn() -> Question + 'static, every_millis: u32) -> Query<T>
where
    T: DeserializeOwned + PartialEq + Send + Sync + 'static,
{
    start(question, every_millis, Time::Shown, |path| {
        Box::pin(async move { api::get(&path).await })
    })
}

/// As [`one`], about the present whatever moment is shown.
pub fn one_of_now<T>(question: impl Fn() -> Question + 'static, every_millis: u32) -> Query<T>
where
    T: DeserializeOwned + PartialEq + Send + Sync + 'static,
{
    start(question, every_millis, Time::Now, |path| {
        Box::pin(async move { api::get(&path).await })
    })
}

/// A question whose answer is the first `want` items of a list.
pub fn many<T>(question: impl Fn() -> Question + 'static, want: Signal<usize>) -> Query<List<T>>
where
    T: DeserializeOwned + PartialEq + Send + Sync + 'static,
{
    start_many(question, want, Time::Shown)
}

/// As [`many`], about the present whatever moment is shown.
pub fn many_of_now<T>(
    question: impl Fn() -> Question + 'static,
    want: Signal<usize>,
) -> Query<List<T>>
where
    T: DeserializeOwned + PartialEq + Send + Sync + 'static,
{
    start_many(question, want, Time::Now)
}

fn start_many<T>(
    question: impl Fn() -> Question + 'static,
    want: Signal<usize>,
    time: Time,
) -> Query<List<T>>
where
    T: DeserializeOwned + PartialEq + Send + Sync + 'static,
{
    let asked = move || {
        want.track();
        question()
    };
    start(asked, SLOW_MILLIS, time, move |path| {
        let want = want.get_untracked();
        Box::pin(async move { api::list(&path, want).await })
    })
}

/// Which time a question is about.
#[derive(Clone, Copy, PartialEq)]
enum Time {
    /// The moment that the console shows.
    Shown,
    /// The present.
    Now,
}

fn start<T>(
    question: impl Fn() -> Question + 'static,
    every_millis: u32,
    time: Time,
    load: impl Fn(String) -> Answer<T> + 'static,
) -> Query<T>
where
    T: PartialEq + Send + Sync + 'static,
{
    let live = live();
    let past = past();
    let fetcher = Rc::new_cyclic(|me| Fetcher {
        me: Weak::clone(me),
        question: RefCell::new(Question {
            path: String::new(),
            interest: Interest::Nothing,
            keep: false,
        }),
        load: Box::new(load),
        data: RwSignal::new(None),
        trouble: RwSignal::new(None),
        live,
        who: expect_context(),
        past,
        about: RefCell::new(String::new()),
        still: Cell::new(false),
        awaits: Cell::new(false),
        asked: Cell::new(0),
        under_way: Cell::new(false),
        stale: Cell::new(false),
        gathering: RefCell::new(None),
        slow: RefCell::new(None),
    });
    let query = Query {
        data: fetcher.data,
        trouble: fetcher.trouble,
        fetcher: StoredValue::new_local(Rc::clone(&fetcher)),
    };
    let weak: Weak<Fetcher<T>> = Rc::downgrade(&fetcher);
    let listener: Weak<dyn Listener> = weak.clone();
    live.listen(listener);
    let slow = weak.clone();
    *fetcher.slow.borrow_mut() = Some(Interval::new(every_millis, move || {
        if let Some(fetcher) = slow.upgrade()
            && !fetcher.is_settled()
        {
            fetcher.fetch();
        }
    }));
    Effect::new(move |_| {
        live.again.track();
        let question = question();
        let at = past.at().filter(|_| time == Time::Shown);
        if let Some(fetcher) = weak.upgrade() {
            fetcher.ask(question, at.as_deref());
        }
    });
    query
}

impl<T: PartialEq + Send + Sync + 'static> Fetcher<T> {
    fn ask(self: Rc<Self>, mut question: Question, at: Option<&str>) {
        let about = self.about.replace(question.path.clone());
        let same_thing = about == question.path;
        if let Some(at) = at {
            // What tells the present alone is not asked while the past is shown.
            question.path = address::asked_at(&question.path, at).unwrap_or_default();
        }
        self.still.set(at.is_some());
        let other = *self.question.borrow() != question;
        if other {
            // The same thing at another moment stays on the page until that answer is there, so that nothing jumps.
            let keep = question.keep || same_thing;
            if (!keep || question.path.is_empty()) && self.asked.get() > 0 {
                self.data.set(None);
            }
            let shown = self.data.with_untracked(Option::is_some);
            self.await_another(same_thing && shown);
            self.trouble.set(None);
            self.under_way.set(false);
            *self.question.borrow_mut() = question;
        }
        self.asked.set(self.asked.get() + 1);
        self.under_way.set(false);
        self.fetch();
    }

    fn fetch(self: Rc<Self>) {
        if self.question.borrow().path.is_empty() {
            return;
        }
        if self.under_way.replace(true) {
            self.stale.set(true);
            return;
        }
        self.stale.set(false);
        let asked = self.asked.get();
        let answer = (self.load)(self.question.borrow().path.clone());
        let weak = Rc::downgrade(&self);
        leptos::task::spawn_local(async move {
            let answer = answer.await;
            // Gone from the page, or another question was asked meanwhile.
            let Some(fetcher) = weak
                .upgrade()
                .filter(|fetcher| fetcher.asked.get() == asked)
            else {
                return;
            };
            fetcher.under_way.set(false);
            fetcher.take(answer);
            if fetcher.stale.get() {
                fetcher.gather();
            }
        });
    }

    /// Whether there is nothing to hear of: an answer about the past stays as it is.
    fn is_settled(&self) -> bool {
        self.still.get() && self.trouble.try_with_untracked(Option::is_none) == Some(true)
    }

    /// Notes whether what is shown is of another moment than what is asked for; the page says so while it lasts.
    fn await_another(&self, awaits: bool) {
        if self.awaits.replace(awaits) != awaits {
            self.past.pending.try_update(|pending| {
                *pending = if awaits {
                    *pending + 1
                } else {
                    pending.saturating_sub(1)
                };
            });
        }
    }

    fn take(&self, answer: Result<T, Trouble>) {
        if answer.is_err() && self.awaits.get() {
            // What is there is of another moment: it must not stand under this one.
            self.data.try_set(None);
        }
        self.await_another(false);
        match answer {
            Ok(data) => {
                // What did not change is not drawn anew.
                if self
                    .data
                    .try_with_untracked(|old| old.as_ref() != Some(&data))
                    == Some(true)
                {
                    self.data.try_set(Some(data));
                }
                if self.trouble.try_with_untracked(Option::is_some) == Some(true) {
                    self.trouble.try_set(None);
                }
            }
            Err(trouble) => {
                match &trouble {
                    Trouble::SignedOut => self.who.ended(),
                    Trouble::Unreached => self.live.doubt(),
                    Trouble::Refused { .. } if trouble.is_missing() => {
                        self.data.try_set(None);
                    }
                    Trouble::Refused { .. } | Trouble::Unclear(_) => {}
                }
                self.trouble.try_set(Some(trouble));
            }
        }
    }

    fn gather(&self) {
        let mut gathering = self.gathering.borrow_mut();
        if gathering.is_some() {
            return;
        }
        let weak = Weak::clone(&self.me);
        *gathering = Some(Timeout::new(GATHER_MILLIS, move || {
            if let Some(fetcher) = weak.upgrade() {
                // Forgotten rather than dropped: this very closure belongs to it and is running.
                if let Some(timeout) = fetcher.gathering.take() {
                    timeout.forget();
                }
                fetcher.fetch();
            }
        }));
    }
}

impl<T: Send + Sync + 'static> Drop for Fetcher<T> {
    fn drop(&mut self) {
        if self.awaits.get() {
            self.past
                .pending
                .try_update(|pending| *pending = pending.saturating_sub(1));
        }
    }
}

impl<T: PartialEq + Send + Sync + 'static> Listener for Fetcher<T> {
    fn hear(&self, event: &EventView) {
        if self.still.get() || !self.question.borrow().interest.concerns(event) {
            return;
        }
        if self.under_way.get() {
            self.stale.set(true);
        } else {
            self.gather();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_and_its_tasks_hear_of_hosts_but_not_of_other_jobs() {
        let event = |job: Option<&str>, task: Option<&str>, host: Option<&str>| EventView {
            seq: 1,
            at: jiff::Timestamp::UNIX_EPOCH,
            actor: String::new(),
            kind: String::new(),
            text: String::new(),
            job: job.map(str::to_owned),
            task: task.map(str::to_owned),
            attempt: None,
            host: host.map(str::to_owned),
            plan: None,
            data: serde_json::Value::Null,
        };
        let job = Interest::Job("web".to_owned());
        let task = Interest::Task("web.0".to_owned());
        let connected = event(None, None, Some("h1"));
        assert!(job.concerns(&connected) && task.concerns(&connected));
        let own = event(Some("web"), Some("web.0"), Some("h1"));
        assert!(job.concerns(&own) && task.concerns(&own));
        let other = event(Some("api"), Some("api.0"), Some("h1"));
        assert!(!job.concerns(&other) && !task.concerns(&other));
    }
}
