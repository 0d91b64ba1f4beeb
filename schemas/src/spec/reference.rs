//! The reference of the specs for people: `docs/specs.md`, made from the same descriptions as the schemas.

use super::describe;
use super::{
    Access, Analysis, Approvals, Batch, Bound, Canary, CanaryStep, Capacity, ConstraintSet,
    Constraints, DelayedRetry, DisruptionBudget, DisruptionWindow, ExecProbe,
    ExponentialBackoffRetry, GroupShare, Headroom, HttpProbe, IgnoredFields, ImmediateRetry,
    JobSpec, Limits, PerInterval, PercentagePerHour, PercentagePerInterval, PolicySpec, Port,
    Probe, PrometheusQuery, RedBlack, Resources, Rollout, ScopeLimits, Security, SelfManaged,
    Service, Signatures, Signer, TcpProbe, Tiers, Window,
};
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde_json::Value;
use std::fmt::Write as _;

/// The reference, in Markdown.
pub fn reference() -> String {
    let job = describe::job();
    let policy = describe::policy();
    let probe = &job["properties"]["readiness"];
    let retry = &job["properties"]["batch"]["properties"]["retry"];
    let hard = &job["properties"]["constraints"]["properties"]["hard"];
    let mut page = INTRODUCTION.to_owned();

    section(&mut page, "Job", "", JOB_INTRODUCTION);
    table(&mut page, &["apiVersion", "kind"], "", &job);
    rows(&mut page, "", &job, &fields_of::<JobSpec>());
    section(
        &mut page,
        "Resources",
        "resources",
        "What each task needs. A task is placed only where all of it is free.",
    );
    table(
        &mut page,
        &fields_of::<Resources>(),
        "resources.",
        &job["properties"]["resources"],
    );
    section(
        &mut page,
        "Ports",
        "ports",
        "Each item of the list has these fields.",
    );
    table(
        &mut page,
        &fields_of::<Port>(),
        "ports[].",
        &job["properties"]["ports"]["items"],
    );
    section(
        &mut page,
        "Service",
        "service",
        "A service has so many tasks, which run until they are replaced.",
    );
    let service = &job["properties"]["service"];
    table(&mut page, &fields_of::<Service>(), "service.", service);
    rows(
        &mut page,
        "service.capacity.",
        &service["properties"]["capacity"],
        &fields_of::<Capacity>(),
    );
    rows(
        &mut page,
        "service.rollout.",
        &service["properties"]["rollout"],
        &fields_of::<Rollout>(),
    );
    rollouts(&mut page, &service["properties"]["rollout"]);
    section(
        &mut page,
        "Batch",
        "batch",
        "A batch job has so many tasks, which each finish once.",
    );
    table(
        &mut page,
        &fields_of::<Batch>(),
        "batch.",
        &job["properties"]["batch"],
    );
    section(
        &mut page,
        "Probes",
        "readiness` and `liveness",
        "Questions that are asked of a container again and again: exactly one of `http`, `tcp` and `exec`.",
    );
    table(&mut page, &fields_of::<Probe>(), "", probe);
    rows(
        &mut page,
        "http.",
        &probe["properties"]["http"],
        &fields_of::<HttpProbe>(),
    );
    rows(
        &mut page,
        "tcp.",
        &probe["properties"]["tcp"],
        &fields_of::<TcpProbe>(),
    );
    rows(
        &mut page,
        "exec.",
        &probe["properties"]["exec"],
        &fields_of::<ExecProbe>(),
    );
    section(
        &mut page,
        "Retry policies",
        "service.retry` and `batch.retry",
        "How the next attempt follows one that ended by itself: exactly one of `immediate`, `delayed` and \
         `exponentialBackoff`. Without it: `exponentialBackoff: {initial: 1s, max: 5m}`. Starts that fail through no fault of \
         the job (its host went, the registry was away) use the same delays and are not counted.",
    );
    heading(&mut page);
    for (word, fields) in [
        ("immediate", fields_of::<ImmediateRetry>()),
        ("delayed", fields_of::<DelayedRetry>()),
        ("exponentialBackoff", fields_of::<ExponentialBackoffRetry>()),
    ] {
        let choice = retry["oneOf"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|choice| choice["properties"].get(word));
        if let Some(choice) = choice {
            rows(&mut page, &format!("{word}."), choice, &fields);
        }
    }
    disruption_budget(&mut page, &job["properties"]["disruptionBudget"]);
    section(
        &mut page,
        "Security",
        "security",
        text(&job["properties"]["security"], "description"),
    );
    table(
        &mut page,
        &fields_of::<Security>(),
        "security.",
        &job["properties"]["security"],
    );
    section(
        &mut page,
        "Constraints",
        "constraints",
        "Where tasks may and should run. `hard` and `soft` have the same fields.",
    );
    table(
        &mut page,
        &fields_of::<Constraints>(),
        "constraints.",
        &job["properties"]["constraints"],
    );
    rows(
        &mut page,
        "constraints.hard.",
        hard,
        &fields_of::<ConstraintSet>(),
    );
    section(
        &mut page,
        "Policy",
        "",
        "What automation may do unattended. A repository holds at most one; without one, the defaults hold.",
    );
    table(&mut page, &["apiVersion", "kind"], "", &policy);
    rows(&mut page, "", &policy, &fields_of::<PolicySpec>());
    let properties = &policy["properties"];
    section(
        &mut page,
        "Limits",
        "limits",
        "A bound is exceeded where more than `count` containers and more than `percent` of those that run would stop. Without a policy a plan may take away 5 or 20 %, and automation may stop 20 or 5 % in a minute. Under `apps`, by an app's name, and under `tiers.critical` and `tiers.flex` stand the same two bounds, each of which can be left out there.",
    );
    let limits = &properties["limits"];
    table(&mut page, &fields_of::<Limits>(), "limits.", limits);
    for field in fields_of::<Limits>() {
        let prefix = format!("limits.{field}.");
        rows(
            &mut page,
            &prefix,
            &limits["properties"][field],
            &fields_of::<Bound>(),
        );
    }
    let apps = &properties["apps"]["additionalProperties"];
    rows(&mut page, "apps.<app>.", apps, &fields_of::<ScopeLimits>());
    let tiers = &properties["tiers"];
    rows(&mut page, "tiers.", tiers, &fields_of::<Tiers>());
    section(
        &mut page,
        "Headroom",
        "headroom",
        "What a job asks for is its number of tasks times its `resources`; what the hosts have is the sum over all that have reported and were not removed, whether or not they can be seen. Only a plan that asks for more than before is held for it.",
    );
    let headroom = &properties["headroom"];
    table(&mut page, &fields_of::<Headroom>(), "headroom.", headroom);
    rows(
        &mut page,
        "headroom.groups.<group>.",
        &headroom["properties"]["groups"]["additionalProperties"],
        &fields_of::<GroupShare>(),
    );
    section(
        &mut page,
        "Approvals",
        "approvals",
        "A held plan goes ahead once enough people have approved it (`muster approve`, or the button on the plan's page).",
    );
    table(
        &mut page,
        &fields_of::<Approvals>(),
        "approvals.",
        &properties["approvals"],
    );
    section(
        &mut page,
        "Windows",
        "windows[]",
        "Where there are `allow` windows, plans go ahead by themselves only within one of them; within a `deny` window none does, whatever allows it. A plan that is made at another time waits, and goes ahead when it may. An approval lets it through at once. A rollout that has begun goes on.",
    );
    table(
        &mut page,
        &fields_of::<Window>(),
        "windows[].",
        &properties["windows"]["items"],
    );
    section(
        &mut page,
        "Signatures",
        "signatures",
        "Without it nobody has to sign. With it a revision whose commits are not signed by one of the signers is not followed: all stays as it is, an alert that pages says which commit and why, and the next commit that is signed ends it. `require: head` wants a signature on the branch's head, which vouches for all before it; `every` wants one on each commit since the applied revision. A signer's key is an SSH key (`git config gpg.format ssh`) or an OpenPGP key, and a key is not taken from anywhere else. The first revision that a control plane ever follows, and the commit that first writes `signatures`, are judged by nothing. Commits that Muster makes itself (roll-back, deploys) are signed by the key of `muster serve --signing-key`, whose public half has to be a signer, too.",
    );
    let signatures = &properties["signatures"];
    table(
        &mut page,
        &fields_of::<Signatures>(),
        "signatures.",
        signatures,
    );
    rows(
        &mut page,
        "signatures.signers[].",
        &signatures["properties"]["signers"]["items"],
        &fields_of::<Signer>(),
    );
    section(
        &mut page,
        "Access",
        "access[]",
        "Who may do what through API, command line and console. `muster token create NAME` makes a token; what its bearer may do besides reading stands here, by that name, and holds as soon as the policy does. The token `admin` may do everything, so that no policy can shut everybody out. What people commit is not looked at by this: who may push says the repository, and `signatures` who may change the policy.",
    );
    table(
        &mut page,
        &fields_of::<Access>(),
        "access[].",
        &properties["access"]["items"],
    );
    section(
        &mut page,
        "Ignored fields",
        "ignoredFields[]",
        "What differs from git is drift: it is shown, and with `selfHeal: true` it is put back. What is ignored is neither. Only fields that can be changed past git can be written here.",
    );
    table(
        &mut page,
        &fields_of::<IgnoredFields>(),
        "ignoredFields[].",
        &properties["ignoredFields"]["items"],
    );
    page.push_str(EXAMPLES);
    page
}

fn disruption_budget(page: &mut String, budget: &Value) {
    section(
        page,
        "Disruption budget",
        "disruptionBudget",
        DISRUPTION_INTRODUCTION,
    );
    let fields = fields_of::<DisruptionBudget>();
    table(page, &fields, "disruptionBudget.", budget);
    let properties = &budget["properties"];
    rows(
        page,
        "disruptionBudget.selfManaged.",
        &properties["selfManaged"],
        &fields_of::<SelfManaged>(),
    );
    rows(
        page,
        "disruptionBudget.windows[].",
        &properties["windows"]["items"],
        &fields_of::<DisruptionWindow>(),
    );
    section(
        page,
        "Disruption rates",
        "disruptionBudget.rate",
        "How many healthy tasks may be taken within a stretch of time: `unlimited`, or exactly one of `percentagePerHour`, \
         `perInterval` and `percentagePerInterval`. Any stretch of that length counts, also across restarts of the control plane. A \
         count begins with the commit that writes the rate.",
    );
    heading(page);
    for (word, fields) in [
        ("percentagePerHour", fields_of::<PercentagePerHour>()),
        ("perInterval", fields_of::<PerInterval>()),
        (
            "percentagePerInterval",
            fields_of::<PercentagePerInterval>(),
        ),
    ] {
        let choices = properties["rate"]["oneOf"].as_array();
        let choice = choices
            .into_iter()
            .flatten()
            .find_map(|choice| choice["properties"].get(word));
        if let Some(choice) = choice {
            rows(page, &format!("{word}."), choice, &fields);
        }
    }
}

fn rollouts(page: &mut String, rollout: &Value) {
    section(page, "Rollouts", "service.rollout", ROLLOUTS);
    heading(page);
    let red_black = &rollout["properties"]["redBlack"];
    rows(page, "redBlack.", red_black, &fields_of::<RedBlack>());
    let canary = &rollout["properties"]["canary"];
    rows(page, "canary.", canary, &fields_of::<Canary>());
    let parts = &canary["properties"];
    let steps = &parts["steps"]["items"];
    rows(page, "canary.steps[].", steps, &fields_of::<CanaryStep>());
    let analysis = &parts["analysis"];
    let prefix = "canary.analysis.";
    rows(page, prefix, analysis, &fields_of::<Analysis>());
    let queries = &analysis["properties"]["prometheus"]["items"];
    let prefix = "canary.analysis.prometheus[].";
    rows(page, prefix, queries, &fields_of::<PrometheusQuery>());
    page.push_str(ROLLOUT_EXAMPLES);
}

fn section(page: &mut String, title: &str, field: &str, about: &str) {
    let level = if field.is_empty() { "##" } else { "###" };
    let field = if field.is_empty() {
        String::new()
    } else {
        format!(" (`{field}`)")
    };
    write!(page, "\n{level} {title}{field}\n\n{about}\n\n").ok();
}

fn heading(page: &mut String) {
    page.push_str("| field | type | default | meaning |\n| --- | --- | --- | --- |\n");
}

fn table(page: &mut String, fields: &[&str], prefix: &str, schema: &Value) {
    heading(page);
    rows(page, prefix, schema, fields);
}

fn rows(page: &mut String, prefix: &str, schema: &Value, fields: &[&str]) {
    for field in fields {
        let about = &schema["properties"][field];
        let required = schema["required"]
            .as_array()
            .is_some_and(|names| names.iter().any(|name| name == field));
        let default = match about.get("default") {
            Some(value) if value.is_object() => "see below".to_owned(),
            Some(value) => format!(
                "`{}`",
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            ),
            None if required => "**required**".to_owned(),
            None => "–".to_owned(),
        };
        let mut meaning = text(about, "description")
            .replace("\n\n", " ")
            .replace('|', "\\|");
        // Amounts with a unit are explained once, above.
        let amount = about["title"].is_string();
        if !amount
            && let Some(example) = about["examples"]
                .as_array()
                .and_then(|examples| examples.first())
        {
            write!(
                meaning,
                " Example: `{}`.",
                example
                    .as_str()
                    .map_or_else(|| example.to_string(), str::to_owned)
            )
            .ok();
        }
        writeln!(
            page,
            "| `{prefix}{field}` | {} | {default} | {meaning} |",
            type_of(about)
        )
        .ok();
    }
}

fn text<'a>(schema: &'a Value, field: &str) -> &'a str {
    schema[field].as_str().unwrap_or_default()
}

/// A field's type in words.
fn type_of(schema: &Value) -> String {
    if let Some(word) = schema["const"].as_str() {
        return format!("`{word}`");
    }
    let words = |choices: &Value| -> Vec<String> {
        let choices = choices.as_array().into_iter().flatten();
        choices
            .filter_map(|choice| {
                Some(format!(
                    "`{}`",
                    choice.as_str().or(choice["const"].as_str())?
                ))
            })
            .collect()
    };
    for choices in [&schema["enum"], &schema["oneOf"]] {
        let words = words(choices);
        if !words.is_empty() {
            return words.join(", ");
        }
    }
    if schema["anyOf"].is_array() {
        return "port name or number".to_owned();
    }
    let between = |noun: &str| match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(least), Some(most)) => format!("{noun}, {least} to {most}"),
        (Some(least), None) if least > 0.0 => format!("{noun}, at least {least}"),
        (Some(_) | None, None) => noun.to_owned(),
        (None, Some(most)) => format!("{noun}, at most {most}"),
    };
    match text(schema, "type") {
        "string" => match text(schema, "title") {
            "" => "text".to_owned(),
            title => title.to_lowercase(),
        },
        "integer" => between("whole number"),
        "number" => between("number"),
        "boolean" => "`true`, `false`".to_owned(),
        "array" => match text(&schema["items"], "type") {
            "string" => match type_of(&schema["items"]) {
                words if words.starts_with('`') => format!("list of {words}"),
                _ => "list of texts".to_owned(),
            },
            _ => match type_of(&schema["items"]) {
                words if words.starts_with('`') => format!("list of {words}"),
                _ => "list".to_owned(),
            },
        },
        "object" if schema["additionalProperties"].is_object() => {
            match text(&schema["additionalProperties"], "type") {
                "object" => "mappings by name".to_owned(),
                _ => "texts by name".to_owned(),
            }
        }
        _ => "mapping".to_owned(),
    }
}

/// The fields of a type, in the order in which it declares them: JSON objects forget it.
fn fields_of<T: DeserializeOwned>() -> Vec<&'static str> {
    match T::deserialize(AskFields) {
        Ok(_) => Vec::new(),
        Err(Fields(fields)) => fields.to_vec(),
    }
}

/// A deserializer that gives nothing but the names it is asked for.
struct AskFields;

#[derive(Debug)]
struct Fields(&'static [&'static str]);

impl std::fmt::Display for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
impl std::error::Error for Fields {}
impl serde::de::Error for Fields {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Fields(&[])
    }
}

impl<'de> Deserializer<'de> for AskFields {
    type Error = Fields;
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fields> {
        Err(Fields(&[]))
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Fields> {
        Err(Fields(fields))
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

const INTRODUCTION: &str = "\
<!-- This page is generated. Change the comments in schemas/src/spec/ and run `MUSTER_UPDATE=1 cargo test -p muster --test schemas`. -->
# Specs

A repository of specs holds YAML files, `*.yaml` or `*.yml`, in any folders; what lies below a name that begins with a dot is
not read. A file holds one or more documents, with `---` between them. Each document begins with `apiVersion: muster/v1`,
`kind:` and `name:`.

A document that does not hold never stops the others and never counts as removed: its job stays as it is, and the console says
what is wrong and where. `muster validate PATH…` says the same before you push.

What is read is YAML 1.2 without anchors, aliases, merge keys, tags and directives: a spec says everything where it stands. A
field that is not known is an error, and so are a field that is written twice and a field without a value. Text that looks like
a number, `true`, `false` or `null` has to be put in quotes. Files are UTF-8 and at most 1 MiB long.

Amounts are written with their unit:

| type | how it is written |
| --- | --- |
| size | a whole number and `B`, `KB`, `MB`, `GB`, `TB`, `KiB`, `MiB`, `GiB` or `TiB`: `256MiB`, `2GiB` |
| duration | whole numbers and `ms`, `s`, `m`, `h` or `d`, from large to small: `500ms`, `30s`, `1h30m` |
| bandwidth | a whole number and `Mbps` or `Gbps`: `100Mbps` |
| CPUs | a number without a unit: `0.25`, `2` |

Editors complete and check specs by the JSON Schemas in `schemas/json/`: begin a file with
`# yaml-language-server: $schema=` and the path of `muster.schema.json`.
";

const ROLLOUTS: &str = "\
Without `redBlack` and `canary` a change rolls: tasks are replaced one after another, `maxSurge` and `maxUnavailable` at a time.

With **`redBlack`** all new tasks are started beside the old ones, which needs room for both; where there is too little, the new \
tasks say so and the old ones serve on. Once all new ones have been healthy for `minHealthyTime`, the old ones are kept for \
`keepOld` and then leave. A commit that goes back within that time has the same containers again, at once.

With **`canary`** the change goes to as many tasks as the first step says, the others stay. A step is held until its tasks have \
been healthy for `minHealthyTime`, its `pause` is over, and everything that the analysis measures has passed since. What cannot \
be measured holds it: a canary never goes on unseen, and never back for want of data. What is found wrong **aborts** the \
rollout: the new tasks are replaced by the version before, and that stands until a newer commit changes the containers, or \
somebody retries it (`muster rollout retry JOB --reason …`; also `promote` and `abort`).

A task that has to start again during a rollout comes up on the version that it had.";

const ROLLOUT_EXAMPLES: &str = r#"
All new tasks first, and an hour to go back at once:

```yaml
apiVersion: muster/v1
kind: Job
name: shop-cart
owner: shop-team@example.com
image: registry.example.com/shop/cart:2.0.1
service:
  capacity: {desired: 4}
  rollout:
    minHealthyTime: 10s
    redBlack: {keepOld: 1h}
```

One task for five minutes, half of them for ten, then all, as long as few requests fail:

```yaml
apiVersion: muster/v1
kind: Job
name: shop-search
owner: shop-team@example.com
image: registry.example.com/shop/search:5.3.0
service:
  capacity: {desired: 10}
  rollout:
    canary:
      steps:
        - {tasks: 1, pause: 5m}
        - {percent: 50, pause: 10m}
      analysis:
        maxRestarts: 1
        interval: 30s
        failureLimit: 3
        prometheus:
          - name: error-rate
            query: sum(rate(http_errors{job="${job}"}[1m])) / sum(rate(http_requests{job="${job}"}[1m]))
            max: 0.05
```
"#;

const JOB_INTRODUCTION: &str = "\
What one job asks for: a service or a batch job. Exactly one of `service` and `batch` is written. A job is known by its `name`,
not by the file that it stands in.";

const DISRUPTION_INTRODUCTION: &str = "\
What anything automated has to leave alone of the job. Exactly one of the four limits is written. It holds from the commit that
writes it on, and it is about healthy tasks: one that is not healthy serves nobody, and taking it takes nothing away.

| what is automated | the limit on what stays healthy | `rate` and `windows` | `relocationLimit` and `selfManaged` |
| --- | --- | --- | --- |
| a rollout | waits | waits | is not asked: the owner committed it |
| scale-in and prune | wait, by what is asked for from here on | are not asked: nothing is replaced | are not asked |
| a healthy task whose liveness probe fails | waits | waits | waits |
| a batch task beyond its `runtimeLimit` | is not asked: its own limit ends it | is not asked | is not asked |

Where a stop waits, the job's page and `muster describe job` say for what. `muster stop` of one task is a person's word and waits
for nothing.";

const EXAMPLES: &str = r#"
## Examples

### A service

Three tasks; a change of the image replaces them one by one, and three stay healthy meanwhile.

```yaml
apiVersion: muster/v1
kind: Job
name: shop-web
app: shop
stack: prod
owner: shop-team@example.com
tier: critical
labels:
  team: shop
image: registry.example.com/shop/web:1.4.2
env:
  LOG_LEVEL: info
  WORKERS: "4"
resources:
  cpu: 0.5
  memory: 512MiB
ports:
  - name: http
    port: 8080
readiness:
  http: {port: http, path: /healthz}
liveness:
  http: {port: http, path: /healthz}
  initialDelay: 10s
  interval: 10s
constraints:
  soft: {uniqueHost: true}
killGrace: 30s
service:
  capacity: {min: 2, desired: 3, max: 10}
  rollout: {maxSurge: 1, maxUnavailable: 0, minHealthyTime: 10s}
disruptionBudget:
  availabilityPercentageLimit: 90
  rate:
    perInterval: {limit: 2, interval: 10m}
  windows:
    - {days: [mon, tue, wed, thu, fri], from: "08:00", to: "18:00", timeZone: Europe/Vienna}
```

### A batch job

Twenty tasks, each told its part by `MUSTER_TASK_INDEX`. Change `run` to run it again.

```yaml
apiVersion: muster/v1
kind: Job
name: nightly-report
owner: data-team@example.com
image: registry.example.com/data/report:2026-11
command: ["report", "--parts", "20"]
resources: {cpu: 2, memory: 4GiB, disk: 10GiB}
batch:
  size: 20
  run: "2026-11-23"
  runtimeLimit: 2h
  retry:
    exponentialBackoff: {initial: 5s, max: 5m, retries: 3}
```

### A hook

Runs before a plan's changes take effect. When it fails, none of them does.

```yaml
apiVersion: muster/v1
kind: Job
name: shop-migrations
owner: shop-team@example.com
image: registry.example.com/shop/migrate:1.4.2
batch:
  hook: beforeSync
  runtimeLimit: 10m
  retry:
    immediate: {retries: 0}
```

### Two documents in one file

```yaml
apiVersion: muster/v1
kind: Job
name: cache
owner: shop-team@example.com
image: registry.example.com/shop/cache:7.2
security:
  user: "999:999"
service:
  capacity: {desired: 1}
  retry:
    delayed: {delay: 5s}
---
apiVersion: muster/v1
kind: Job
name: cache-warmer
owner: shop-team@example.com
image: registry.example.com/shop/cache-warmer:1.0
dependsOn: [cache]
liveness:
  exec: {command: ["/bin/check"]}
batch:
  retry:
    immediate: {retries: 1}
```

### A policy

```yaml
apiVersion: muster/v1
kind: Policy
name: default
prune: false
limits:
  stopsPerPlan: {count: 5, percent: 20}
  stopsPerMinute: {count: 20, percent: 5}
apps:
  shop:
    stopsPerPlan: {count: 1}
tiers:
  critical:
    stopsPerMinute: {count: 5}
headroom:
  percent: 10
  groups:
    batch: {atMost: 40}
approvals:
  required: 2
  expireAfter: 1h
  forPolicy: true
windows:
  - name: weekend
    effect: deny
    days: [sat, sun]
    from: "00:00"
    to: "24:00"
    timeZone: Europe/Vienna
signatures:
  require: head
  signers:
    - name: ann@example.com
      ssh: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID0IhVQ4T8yyAeSV1eJp371AdchiEq5HiBHx9pjZj/lP ann
      policy: true
    - name: the build machine
      ssh: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPtf0T7RHeIfM0X1+H/4bY1gdnDcLNH17jNbmW82W7C1 ci
      notAfter: 2027-06-30T00:00:00Z
access:
  - who: team-shop
    role: owner
    apps: [shop]
  - who: oncall
    role: operator
```
"#;
