//! What people read when something is wrong with their specs. Each snapshot is a transcript: the files, and what is said.

use crate::common::is_quick;
use muster_core::specs::{Documents, Look, MAX_DIAGNOSTICS, Reader, SpecFile, read, render};
use muster_schemas::plan::{Diagnostic, DocumentRef};
use muster_schemas::spec::{Bytes, CpuMillis, Millis, PortRef, RetryPolicy, Spec};
use std::collections::BTreeSet;

/// A snapshot without the expression that made it: the transcript holds all of it.
macro_rules! show {
    ($shown:expr) => {
        insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!($shown) })
    };
}

fn file(path: &str, bytes: impl Into<Vec<u8>>) -> SpecFile {
    SpecFile {
        path: path.to_owned(),
        bytes: bytes.into().into(),
    }
}

fn read_text(text: &str) -> Documents {
    read(&[file("jobs/web.yaml", text)])
}

/// Everything that is said, and how many documents hold.
fn said(documents: &Documents) -> String {
    let mut shown = String::new();
    for diagnostic in &documents.diagnostics {
        shown.push_str(&render(diagnostic, Look::Plain));
        match &diagnostic.job {
            Some(job) => shown.push_str(&format!("  (job: {job})\n")),
            None => shown.push_str("  (job: not known)\n"),
        }
    }
    shown.push_str(&format!("{} documents hold\n", documents.specs.len()));
    shown
}

/// A transcript of many cases: a title, the document, what is said. Each has to be refused.
fn transcript(cases: &[(&str, &str)]) -> String {
    let mut shown = String::new();
    for (title, text) in cases {
        let documents = read_text(text);
        assert!(
            !documents.diagnostics.is_empty(),
            "{title}: nothing is said"
        );
        shown.push_str(&format!(
            "=== {title}\n{text}\n--- says\n{}\n",
            said(&documents)
        ));
    }
    shown
}

/// A whole service with `extra` lines at its end.
fn service(extra: &str) -> String {
    format!(
        "apiVersion: muster/v1\nkind: Job\nname: web\nowner: web-team@example.com\nimage: registry.example.com/web:1\n\
         service:\n  capacity: {{desired: 3}}\n{extra}"
    )
}

/// A service with other lines in place of its own `service:`.
fn job(rest: &str) -> String {
    format!(
        "apiVersion: muster/v1\nkind: Job\nname: web\nowner: web-team@example.com\nimage: registry.example.com/web:1\n{rest}"
    )
}

fn cases<'a>(cases: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    cases
        .iter()
        .map(|(title, text)| (*title, text.as_str()))
        .collect()
}

#[test]
fn a_whole_job_is_read_with_its_defaults() {
    let documents = read_text(&service(
        "ports:\n  - {name: http, port: 8080}\nreadiness:\n  http: {port: http, path: /healthz}\n",
    ));
    assert_eq!(documents.diagnostics, []);
    let [found] = &documents.specs[..] else {
        panic!("{documents:?}")
    };
    assert_eq!(
        found.source,
        DocumentRef {
            path: "jobs/web.yaml".to_owned(),
            document: 0,
            line: 1
        }
    );
    let Spec::Job(job) = &found.spec else {
        panic!("{found:?}")
    };
    assert_eq!(job.name.as_str(), "web");
    assert_eq!(job.size(), 3);
    assert_eq!(job.resources.cpu, CpuMillis(100));
    assert_eq!(job.resources.memory, Bytes::mib(128));
    assert_eq!(job.kill_grace, Millis::secs(10));
    assert!(matches!(job.retry(), RetryPolicy::ExponentialBackoff(_)));
    let http = job
        .readiness
        .as_ref()
        .and_then(|probe| probe.http.as_ref())
        .unwrap();
    assert_eq!(http.port, PortRef::Name("http".to_owned()));
}

#[test]
fn a_disruption_budget_that_does_not_hold() {
    let with = |budget: &str| service(&format!("disruptionBudget:\n{budget}"));
    show!(transcript(&cases(&[
        ("no limit", with("  rate: unlimited\n")),
        (
            "two limits",
            with("  unhealthyTasksLimit: 1\n  selfManaged: {relocationTime: 5m}\n")
        ),
        (
            "more than all",
            with("  availabilityPercentageLimit: 101\n")
        ),
        (
            "no time for the owner",
            with("  selfManaged: {relocationTime: 0s}\n")
        ),
        (
            "nothing said of the owner's time",
            with("  selfManaged: {}\n")
        ),
        (
            "a rate of nothing",
            with("  unhealthyTasksLimit: 1\n  rate: {percentagePerHour: {percentage: 0}}\n")
        ),
        (
            "a rate over too long",
            with("  unhealthyTasksLimit: 1\n  rate: {perInterval: {limit: 2, interval: 8d}}\n")
        ),
        (
            "an unknown rate",
            with("  unhealthyTasksLimit: 1\n  rate: {perHour: {limit: 2}}\n")
        ),
        (
            "an unknown time zone",
            with(
                "  unhealthyTasksLimit: 1\n  windows:\n    - {from: \"08:00\", to: \"18:00\", timeZone: Europe/Wien}\n"
            )
        ),
        (
            "a rollout that could never begin",
            job(
                "service:\n  capacity: {desired: 3}\n  rollout: {maxSurge: 0, maxUnavailable: 1}\ndisruptionBudget:\n  availabilityPercentageLimit: 90\n",
            )
        ),
    ])));
}

#[test]
fn jobs_that_depend_on_each_other() {
    let job = |name: &str, on: &str| {
        format!(
            "apiVersion: muster/v1\nkind: Job\nname: {name}\nowner: team@example.com\nimage: registry.example.com/{name}:1\n\
             dependsOn: {on}\nservice:\n  capacity: {{desired: 1}}\n"
        )
    };
    let transcript = |title: &str, files: &[SpecFile]| {
        let documents = read(files);
        let held: Vec<&str> = documents
            .specs
            .iter()
            .map(|found| found.spec.name())
            .collect();
        format!(
            "=== {title}\n{}held: {}\n\n",
            said(&documents),
            held.join(", ")
        )
    };
    let mut shown = String::new();
    shown += &transcript(
        "in order",
        &[
            file("web.yaml", job("web", "[db, cache]")),
            file("db.yaml", job("db", "[]")),
            file("cache.yaml", job("cache", "[db]")),
        ],
    );
    shown += &transcript(
        "unknown, with one that is near",
        &[
            file("web.yaml", job("web", "[bd, mail]")),
            file("db.yaml", job("db", "[]")),
        ],
    );
    shown += &transcript(
        "a circle, one who depends on it, and one who does not",
        &[
            file(
                "all.yaml",
                format!(
                    "{}---\n{}---\n{}",
                    job("a", "[b]"),
                    job("b", "[c]"),
                    job("c", "[x, a]")
                ),
            ),
            file(
                "rest.yaml",
                format!("{}---\n{}", job("outside", "[a]"), job("x", "[]")),
            ),
        ],
    );
    shown += &transcript("itself", &[file("web.yaml", job("web", "[web]"))]);
    shown += &transcript(
        "twice, and no name",
        &[
            file("web.yaml", job("web", "[db, db, A_B]")),
            file("db.yaml", job("db", "[]")),
        ],
    );
    shown += &transcript(
        "one whose document does not hold is there",
        &[
            file("web.yaml", job("web", "[db]")),
            file("db.yaml", job("db", "[]").replace("owner", "ownr")),
        ],
    );
    shown += &transcript(
        "what could not be read may be it",
        &[file("web.yaml", job("web", "[db]")), file("db.yaml", "{{{")],
    );
    show!(shown);
}

#[test]
fn a_hook_that_does_not_hold() {
    let waits = service("dependsOn: [migrate]\n");
    let migrate = job("batch: {hook: beforeSync}\n").replace("name: web", "name: migrate");
    show!(transcript(&cases(&[
        (
            "a run of its own",
            job("batch:\n  hook: beforeSync\n  run: \"1\"\n")
        ),
        (
            "one that waits",
            job("dependsOn: [db]\nbatch: {hook: afterSync}\n")
        ),
        ("another word", job("batch: {hook: preSync}\n")),
        ("somebody waits for it", format!("{waits}---\n{migrate}")),
    ])));
}

/// A chain and a circle as long as a repository can be are read in no time, and without recursion.
#[test]
fn long_chains_and_circles_of_jobs_are_read_soon() {
    let files = |jobs: u32, circle: bool| -> Vec<SpecFile> {
        (0..jobs)
            .map(|number| {
                let on = if number > 0 { number - 1 } else { jobs - 1 };
                let on = if number > 0 || circle { format!("[job{on}]") } else { "[]".to_owned() };
                let text = format!(
                    "apiVersion: muster/v1\nkind: Job\nname: job{number}\nowner: a\nimage: web:1\ndependsOn: {on}\nbatch: {{}}\n"
                );
                file(&format!("{number}.yaml"), text)
            })
            .collect()
    };
    let chain = read(&files(2_000, false));
    assert_eq!((chain.specs.len(), chain.diagnostics.len()), (2_000, 0));
    let started = std::time::Instant::now();
    let jobs = if is_quick() { 3_000 } else { 10_000 };
    let circle = read(&files(jobs, true));
    assert_eq!(
        (circle.specs.len(), circle.diagnostics.len()),
        (0, jobs as usize)
    );
    // Ten thousand times through ten thousand jobs would take minutes in a debug build.
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

#[test]
fn forms_that_are_fine() {
    let whole = service("");
    for (title, text) in [
        ("CRLF", whole.replace('\n', "\r\n")),
        ("byte order mark", format!("\u{feff}{whole}")),
        ("empty documents around it", format!("---\n---\n# only a comment\n---\n{whole}---\n...\n---\n~\n")),
        ("an explicit end", format!("{whole}...\n")),
        ("JSON", r#"{"apiVersion": "muster/v1", "kind": "Job", "name": "web", "owner": "a", "image": "web:1", "batch": {}}"#.to_owned()),
        ("other scripts", service("labels: {team: \"Grüße 🚢\"}\n")),
        ("a quoted number", service("env: {PORT: \"8080\"}\n")),
        ("little memory", service("resources: {memory: 16MiB}\n")),
        ("block text", service("command:\n  - sh\n  - -c\n  - |\n    while true; do\n      sleep 1\n    done\n")),
    ] {
        let documents = read_text(&text);
        assert_eq!(said(&documents), "1 documents hold\n", "{title}");
    }
}

/// A file that was cut off looks the same, and what it held has not been removed by anybody.
#[test]
fn a_file_without_a_document_is_told() {
    for (title, text) in [
        ("nothing", ""),
        ("white space", " \n\n"),
        ("comments", "# one\n# two\n"),
        ("a marker", "---\n"),
    ] {
        let codes: Vec<String> = read_text(text)
            .diagnostics
            .into_iter()
            .map(|diagnostic| diagnostic.code)
            .collect();
        assert_eq!(codes, ["empty-file"], "{title}");
    }
}

#[test]
fn syntax() {
    let deep = format!(
        "{}env: {}{}",
        service(""),
        "{a: ".repeat(40),
        "}".repeat(40)
    );
    let brackets = service(&format!("command: {}", "[".repeat(2000)));
    show!(transcript(&cases(&[
        (
            "duplicate keys",
            service("image: registry.example.com/web:2\n")
        ),
        (
            "duplicate keys, deeper",
            service("env:\n  A: one\n  B: two\n  A: three\n")
        ),
        ("the name twice", service("name: web2\n")),
        ("tab indentation", service("env:\n\tA: one\n")),
        ("unclosed quote", service("env:\n  A: \"one\n")),
        ("unclosed bracket", service("command: [sh, -c\n")),
        ("wrong indentation", service("env:\n  A: one\n B: two\n")),
        ("missing colon", service("env\n  A: one\n")),
        ("two colons", service("app: shop: web\n")),
        ("unquoted asterisk", service("app: @shop\n")),
        (
            "alias bomb",
            service("env:\n  A: &a [x, x]\n  B: &b [*a, *a]\n  C: [*b, *b]\n")
        ),
        ("unknown alias", service("app: *shop\n")),
        (
            "merge key",
            service("labels: {a: b}\nenv:\n  <<: {A: one}\n")
        ),
        ("tag", service("app: !secret shop\n")),
        (
            "directive",
            format!("%YAML 1.2\n---\n{}", service("app: 5\n"))
        ),
        ("a list as a key", service("? [a, b]\n: c\n")),
        ("deep nesting", deep),
        ("a list", "- kind: Job\n".to_owned()),
        ("a text", "just some words\n".to_owned()),
        ("a number", "42\n".to_owned()),
    ])));
    // A long line of brackets is told with a short one.
    let documents = read_text(&brackets);
    assert_eq!(documents.diagnostics.len(), 1);
    assert_eq!(documents.diagnostics[0].code, "too-deep");
    assert!(documents.diagnostics[0].source_line.chars().count() <= 161);
}

#[test]
fn header() {
    let rest = "name: web\nowner: a\nimage: web:1\nbatch: {}\n";
    show!(transcript(&cases(&[
        ("no apiVersion", format!("kind: Job\n{rest}")),
        (
            "misspelled apiVersion",
            format!("apiversion: muster/v1\nkind: Job\n{rest}")
        ),
        (
            "wrong apiVersion",
            format!("apiVersion: muster/v2\nkind: Job\n{rest}")
        ),
        (
            "another system's",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n".to_owned()
        ),
        ("no kind", format!("apiVersion: muster/v1\n{rest}")),
        (
            "misspelled kind",
            format!("apiVersion: muster/v1\nknid: Job\n{rest}")
        ),
        (
            "misspelled word",
            format!("apiVersion: muster/v1\nkind: Jbo\n{rest}")
        ),
        (
            "kind in lower case",
            format!("apiVersion: muster/v1\nkind: job\n{rest}")
        ),
        (
            "a later kind",
            "apiVersion: muster/v1\nkind: CapacityGroup\nname: shop\n".to_owned()
        ),
        (
            "kind is a list",
            format!("apiVersion: muster/v1\nkind: [Job]\n{rest}")
        ),
        (
            "no name",
            "apiVersion: muster/v1\nkind: Job\nowner: a\nimage: web:1\nbatch: {}\n".to_owned()
        ),
        ("an empty mapping", "{}\n".to_owned()),
        (
            "only a header",
            "apiVersion: muster/v1\nkind: Job\n".to_owned()
        ),
    ])));
}

#[test]
fn fields() {
    show!(transcript(&cases(&[
        ("misspelled field", service("commnad: [sh]\n")),
        ("unknown field", service("hostNetwork: true\n")),
        ("misspelled deeper", service("resources:\n  memry: 1GiB\n")),
        ("in the wrong place", service("cpu: 2\nreplicas: 3\n")),
        ("misspelled in a list", service("ports:\n  - {name: http, prot: 80}\n")),
        ("misspelled required field", "apiVersion: muster/v1\nkind: Job\nname: web\nowner: a\nimgae: web:1\nbatch: {}\n".to_owned()),
        ("misspelled kind of job", job("sevice:\n  capacity: {desired: 3}\n")),
        ("number for text", service("env:\n  PORT: 8080\n  DEBUG: true\n  RATIO: 1.10\n")),
        ("text for number", job("service:\n  capacity: {desired: three}\n")),
        ("quoted number", job("service:\n  capacity: {desired: \"3\"}\n")),
        ("negative number", job("service:\n  capacity: {desired: -1}\n")),
        ("fraction", job("batch: {size: 2.5}\n")),
        ("no value", service("env:\n")),
        ("yes for true", job("batch: {retryOnRuntimeLimit: yes}\n")),
        ("text for a list", service("command: sleep 1\n")),
        ("mapping for a list", service("ports:\n  http: 8080\n")),
        ("list for a mapping", service("env:\n  - A=one\n")),
        ("mapping for text", service("app: {name: shop}\n")),
        ("size without unit", service("resources: {memory: 256}\n")),
        ("unknown unit", service("resources: {memory: 256M, disk: 1.5GiB}\n")),
        ("time without unit", service("killGrace: 10\n")),
        ("unknown time unit", service("killGrace: 10 seconds\n")),
        ("bandwidth", service("resources: {network: 100}\n")),
        ("cpu as text", service("resources: {cpu: 500m}\n")),
        ("misspelled word", service("tier: critcal\n")),
        ("unknown word", service("tier: gold\n")),
        ("capability", service("security: {capabilities: [SYS_ADMIN, NET_BIND]}\n")),
        ("port out of range", service("ports: [{name: http, port: 70000}]\n")),
        ("probe port out of range", service("liveness: {tcp: {port: 70000}}\n")),
        ("unknown retry policy", job("batch:\n  retry: {exponential: {initial: 1s, max: 5s}}\n")),
        ("two retry policies", job("batch:\n  retry:\n    immediate: {}\n    delayed: {delay: 5s}\n")),
        ("retry policy as a word", job("batch:\n  retry: immediate\n")),
        ("retry policy without delay", job("batch:\n  retry: {delayed: {}}\n")),
        ("many at once", "apiVersion: muster/v1\nkind: Job\nname: Web\nowner: 5\nimgage: web:1\nresources:\n  cpu: 0\n  memory: 1MB\nports:\n  - {name: HTTP, port: 80}\n  - {port: 80}\nliveness:\n  http: {port: htpt}\nservice:\n  capacity: {desired: 3, min: 5}\n  rollout: {maxSurge: 0}\n".to_owned()),
    ])));
}

#[test]
fn a_number_is_told_as_it_is_written() {
    for number in ["99999999999999999999", "1e30", "2.50"] {
        let yaml = job(&format!("service: {{capacity: {{desired: {number}}}}}\n"));
        let told = said(&read_text(&yaml));
        let words = format!("cannot be the number {number}\n");
        assert!(told.replace(" [wrong-type]", "").contains(&words), "{told}");
    }
}

#[test]
fn rules() {
    let env: String = (0..40)
        .map(|i| format!("  A{i}: \"{}\"\n", "x".repeat(1000)))
        .collect();
    show!(transcript(&cases(&[
        ("name", service("").replace("name: web", "name: Web_Shop")),
        ("neither", job("")),
        ("both", service("batch: {size: 2}\n")),
        (
            "desired over max",
            job("service:\n  capacity: {min: 1, desired: 5, max: 3}\n")
        ),
        (
            "desired under min",
            job("service:\n  capacity:\n    min: 6\n    desired: 5\n")
        ),
        (
            "min over max",
            job("service:\n  capacity: {min: 4, desired: 3, max: 2}\n")
        ),
        ("too many", job("service:\n  capacity: {desired: 20000}\n")),
        (
            "rollout that cannot move",
            service("").replace("  capacity", "  rollout: {maxSurge: 0}\n  capacity")
        ),
        ("batch size", job("batch: {size: 0}\n")),
        ("batch too large", job("batch: {size: 1001}\n")),
        ("runtime limit", job("batch: {runtimeLimit: 500ms}\n")),
        (
            "runtime limit too long",
            job("batch: {runtimeLimit: 11d}\n")
        ),
        (
            "backoff",
            job("batch:\n  retry: {exponentialBackoff: {initial: 1m, max: 5s}}\n")
        ),
        (
            "retries",
            job("batch:\n  retry: {immediate: {retries: 20000}}\n")
        ),
        ("no probe target", service("readiness: {interval: 5s}\n")),
        (
            "two probe targets",
            service("readiness:\n  http: {port: 80}\n  tcp: {port: 80}\n")
        ),
        (
            "unknown port name",
            service("ports: [{name: http, port: 80}]\nreadiness: {http: {port: htpp}}\n")
        ),
        (
            "no ports at all",
            service("readiness: {http: {port: http}}\n")
        ),
        (
            "probe path",
            service("readiness: {http: {port: 80, path: healthz}}\n")
        ),
        (
            "probe numbers",
            service("liveness: {tcp: {port: 0}, failures: 0, interval: 1ms, timeout: 0s}\n")
        ),
        (
            "empty probe command",
            service("liveness: {exec: {command: []}}\n")
        ),
        (
            "port names",
            service("ports:\n  - {name: http, port: 80}\n  - {name: http, port: 81}\n")
        ),
        (
            "port name",
            service("ports:\n  - {name: a-very-long-port-name, port: 80}\n")
        ),
        (
            "port 0",
            service("ports:\n  - {name: http, port: 0, hostPort: 0}\n")
        ),
        (
            "host ports",
            service(
                "ports:\n  - {name: a, port: 80, hostPort: 8080}\n  - {name: b, port: 81, hostPort: 8080}\n"
            )
        ),
        (
            "environment",
            service("env:\n  1A: x\n  \"A B\": x\n  MUSTER_JOB: x\n  C: \"a\\0b\"\n")
        ),
        ("too much environment", service(&format!("env:\n{env}"))),
        (
            "too long a command",
            service(&format!("command: [sh, -c, \"{}\"]\n", "x".repeat(20_000)))
        ),
        (
            "empty command",
            service("entrypoint: []\ncommand: [\"\"]\n")
        ),
        ("image", service("").replace("web:1", "web")),
        ("image in capitals", service("").replace("/web:1", "/Web:1")),
        (
            "image digest",
            service("").replace("web:1", "web@sha256:abc")
        ),
        (
            "labels",
            service("labels:\n  \"a b\": x\n  muster.job: y\n  ok: \"two\\nlines\"\n")
        ),
        ("app", service("app: my shop\n")),
        (
            "owner",
            service("").replace("web-team@example.com", "\" \"")
        ),
        (
            "resources",
            service("resources:\n  cpu: 0\n  memory: 4MiB\n  gpu: 17\n  network: 500Gbps\n")
        ),
        ("shm", service("resources: {memory: 128MiB, shm: 256MiB}\n")),
        ("kill grace", service("killGrace: 1h\n")),
        ("user", service("security: {user: \"a:b:c\"}\n")),
        (
            "capability twice",
            service("security: {capabilities: [CHOWN, KILL, CHOWN]}\n")
        ),
        (
            "zone balance in one zone",
            service("constraints: {hard: {zoneBalance: true, zones: [a]}}\n")
        ),
        (
            "constraints",
            service(
                "constraints:\n  hard: {zones: [a, \"\"], hosts: [h, h]}\n  soft: {hostLabels: {\"a b\": c}}\n"
            )
        ),
        (
            "policy name",
            "apiVersion: muster/v1\nkind: Policy\nname: My Policy\nprune: perhaps\n".to_owned()
        ),
        (
            "ignored fields",
            "apiVersion: muster/v1\nkind: Policy\nname: default\nselfHeal: true\nignoredFields:\n- {job: web, app: shop, fields: [service.capacity.desired]}\n- {fields: []}\n- {job: web, fields: [container.cpu, container.cpu]}\n- {job: web, fields: [image]}\n"
                .to_owned()
        ),
        (
            "access",
            "apiVersion: muster/v1\nkind: Policy\nname: default\naccess:\n- {who: admin, role: viewer}\n- {who: \"\", role: operator}\n- {who: team, role: owner}\n- {who: team, role: operator, apps: [shop]}\n- {who: other, role: boss}\n"
                .to_owned()
        ),
    ])));
}

#[test]
fn files() {
    let whole = service("").into_bytes();
    let cut_utf8 = [&whole[..], b"app: caf\xe9\nstack: prod\n"].concat();
    let utf16: Vec<u8> = service("")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let nul = [&whole[..], b"app: a\0b\n"].concat();
    let large = format!("{}# {}\n", service(""), "x".repeat(10 << 20)).into_bytes();
    let mut shown = String::new();
    for (title, path, bytes) in [
        ("not UTF-8", "jobs/web.yaml", cut_utf8),
        ("UTF-16", "jobs/web.yaml", utf16),
        ("NUL", "jobs/web.yaml", nul),
        (
            "binary",
            "jobs/web.yaml",
            b"\x7fELF\x02\x01\x01\0\0\0".to_vec(),
        ),
        ("nothing", "jobs/web.yaml", Vec::new()),
        (
            "nothing but comments",
            "jobs/web.yaml",
            b"# gone?\n---\n...\n".to_vec(),
        ),
        ("10 MB", "jobs/web.yaml", large),
        ("a path upwards", "jobs/../../web.yaml", whole.clone()),
        ("an absolute path", "/jobs/web.yaml", whole.clone()),
        ("a backslash", "jobs\\web.yaml", whole.clone()),
        (
            "a control character",
            "jobs/\u{1b}[31mweb.yaml",
            whole.clone(),
        ),
        ("no path", "", whole.clone()),
        (
            "control characters in a line",
            "jobs/web.yaml",
            service("app: \"\u{1b}[31mx\"\n").into_bytes(),
        ),
    ] {
        let documents = read(&[file(path, bytes)]);
        assert!(
            !documents.diagnostics.is_empty(),
            "{title}: nothing is said"
        );
        shown.push_str(&format!("=== {title}\n{}\n", said(&documents)));
    }
    show!(shown);
}

#[test]
fn one_identity_in_two_documents() {
    let other = service("").replace("name: web", "name: api");
    let policy = "apiVersion: muster/v1\nkind: Policy\nname: default\n";
    let documents = read(&[
        file("jobs/web.yaml", service("")),
        file(
            "jobs/copy.yaml",
            format!("# a copy\n---\n{other}---\n{}", service("app: copied\n")),
        ),
        file("policy.yaml", policy),
        file("team/policy.yaml", policy.replace("default", "team")),
        file("wrong.yaml", policy.replace("name", "nmae")),
    ]);
    assert_eq!(documents.specs.len(), 1);
    assert_eq!(documents.specs[0].spec.name(), "api");
    assert_eq!(documents.specs[0].source.document, 0);
    assert_eq!(documents.specs[0].source.line, 3);
    show!(said(&documents));
}

#[test]
fn a_copy_does_not_take_over_the_job_of_a_broken_document() {
    let documents = read(&[
        file("jobs/web.yaml", service("commnad: [sh]\n")),
        file("jobs/copy.yaml", service("")),
    ]);
    assert_eq!(documents.specs, []);
    let copy = documents
        .diagnostics
        .iter()
        .find(|found| found.path == "jobs/copy.yaml")
        .unwrap();
    assert_eq!(copy.code, "duplicate-name");
    assert!(copy.message.contains("jobs/web.yaml:8"), "{}", copy.message);
}

#[test]
fn a_bad_document_does_not_hide_its_neighbours() {
    let named = |name: &str| service("").replace("name: web", &format!("name: {name}"));
    for bad in [
        "a: [1\n",
        "a: \"unclosed\n",
        "a: |\n  text\n b: 1\n",
        "\ta: 1\n",
        "a: &x [*x]\n",
        &"[".repeat(500),
        "kind: Job\nname: broken\n",
        "%TAG ! x\n",
        "- }\n",
    ] {
        let text = format!("{}---\n{bad}\n---\n{}", named("first"), named("last"));
        let documents = read_text(&text);
        let names: Vec<&str> = documents
            .specs
            .iter()
            .map(|found| found.spec.name())
            .collect();
        assert_eq!(names, ["first", "last"], "{bad}");
        assert!(!documents.diagnostics.is_empty(), "{bad}");
        assert_eq!(documents.specs[1].source.document, 2);
        let lines = 7 + 1 + (bad.matches('\n').count() + 1) + 1 + 1;
        assert_eq!(documents.specs[1].source.line as usize, lines, "{bad}");
    }
}

#[test]
fn a_document_that_cannot_be_parsed_still_says_its_job() {
    let documents = read_text(&service("env: [\n"));
    assert_eq!(
        documents.diagnostics[0]
            .job
            .as_ref()
            .map(|job| job.as_str()),
        Some("web")
    );
    let documents = read_text(&service("env: [\n").replace("name: web", "name: Web"));
    assert_eq!(
        documents.diagnostics[0].job, None,
        "a name that no job has may hide a job's real one"
    );
}

#[test]
fn a_file_full_of_problems_is_cut_short() {
    let text = "---\nkind: Job\n".repeat(1000);
    let documents = read(&[file("a.yaml", text), file("b.yaml", service(""))]);
    assert_eq!(documents.specs.len(), 1);
    let last = documents
        .diagnostics
        .iter()
        .rfind(|found| found.path == "a.yaml")
        .unwrap();
    assert_eq!(last.code, "too-many-problems");
    assert_eq!(last.job, None, "whatever stood in the file may be meant");
    assert!(documents.diagnostics.len() <= 101);
}

#[test]
fn every_bad_file_is_told_even_past_the_bound_on_diagnostics() {
    let text = "---\na: 1\n".repeat(30);
    let files: Vec<SpecFile> = (0..400)
        .map(|i| file(&format!("{i}.yaml"), text.as_str()))
        .collect();
    let documents = read(&files);
    for file in &files {
        assert!(
            documents
                .diagnostics
                .iter()
                .any(|found| found.path == file.path),
            "{}",
            file.path
        );
    }
    assert!(
        documents.diagnostics.len() < 11_000,
        "{}",
        documents.diagnostics.len()
    );
}

#[test]
fn a_terminal_gets_a_frame() {
    let documents = read_text(&service(
        "commnad: [sh]\nowner: x\nenv: {Ä: \"ö\", PORT: 80}\n",
    ));
    let shown: String = documents
        .diagnostics
        .iter()
        .map(|found| {
            render(
                found,
                Look::Terminal {
                    columns: 80,
                    colour: false,
                },
            )
        })
        .collect();
    show!(shown);
}

/// A reader that has read other revisions before reads each as one that has not.
#[test]
fn a_reader_that_knows_other_revisions_reads_the_same() {
    let job = |name: &str, image: &str| {
        format!(
            "apiVersion: muster/v1\nkind: Job\nname: {name}\nowner: team@example.com\nimage: {image}\nservice: {{capacity: {{desired: 1}}}}\n"
        )
    };
    let image = "registry.example.com/app:1";
    let revisions: Vec<Vec<SpecFile>> = vec![
        vec![
            file("a.yaml", job("a", image)),
            file("b.yaml", job("b", image)),
        ],
        // One changes, one does not hold any more.
        vec![
            file("a.yaml", job("a", "registry.example.com/app:2")),
            file("b.yaml", "kind: Job\nname: b\n"),
        ],
        // The one that stays the same becomes a second of its name, and then is the only one again.
        vec![
            file("a.yaml", job("a", "registry.example.com/app:2")),
            file("c.yaml", job("a", image)),
        ],
        vec![file("a.yaml", job("a", "registry.example.com/app:2"))],
        // The same content under another path.
        vec![file("z.yaml", job("a", "registry.example.com/app:2"))],
        vec![],
        vec![
            file("a.yaml", job("a", image)),
            file("b.yaml", job("b", image)),
        ],
    ];
    let mut reader = Reader::default();
    for files in &revisions {
        assert_eq!(reader.read(files), read(files));
    }
}

#[test]
fn what_could_not_be_had_may_hold_what_others_depend_on() {
    let web = "apiVersion: muster/v1\nkind: Job\nname: web\nowner: a@example.com\nimage: registry.example.com/web:1\n\
               dependsOn: [db]\nservice:\n  capacity: { desired: 1 }\n";
    let files = [file("web.yaml", web)];
    let alone = Reader::default().read(&files);
    assert_eq!(alone.specs.len(), 0);
    assert_eq!(alone.diagnostics[0].code, "unknown-job");
    let unread = Diagnostic {
        code: "file-too-large".to_owned(),
        path: "db.yaml".to_owned(),
        line: 0,
        column: 0,
        source_line: String::new(),
        width: 0,
        message: "the file is too large".to_owned(),
        help: String::new(),
        job: None,
    };
    let beside = Reader::default().read_beside(&files, std::slice::from_ref(&unread));
    assert_eq!(beside.specs.len(), 1);
    assert_eq!(beside.diagnostics, [unread]);
}

#[test]
fn hundreds_of_jobs_that_depend_on_nothing_that_is_there_are_told_in_little() {
    let needs: Vec<String> = (0..20).map(|at| format!("gone-{at}")).collect();
    let needs = needs.join(", ");
    let files: Vec<SpecFile> = (0..500)
        .map(|at| {
            let text = format!(
                "apiVersion: muster/v1\nkind: Job\nname: job-{at}\nowner: a@example.com\nimage: registry.example.com/web:1\n\
                 dependsOn: [{needs}]\nservice:\n  capacity: {{ desired: 1 }}\n"
            );
            file(&format!("{at}.yaml"), text.as_str())
        })
        .collect();
    let read = read(&files);
    assert_eq!(read.specs.len(), 0);
    let told: BTreeSet<&str> = read.diagnostics.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(told.len(), files.len(), "each of them");
    assert!(read.diagnostics.iter().all(|it| it.code == "unknown-job"));
    assert!(read.diagnostics.len() <= MAX_DIAGNOSTICS + files.len());
}

#[test]
fn a_policy_that_nobody_could_ever_change_again_is_refused() {
    let policy = |access: &str| {
        let text = format!(
            "apiVersion: muster/v1\nkind: Policy\nname: default\napprovals: {{ required: 2, forPolicy: true }}\n{access}"
        );
        let read = read(&[file("policy.yaml", text)]);
        let faults = read.diagnostics.into_iter();
        faults.map(|fault| fault.message).collect::<Vec<_>>()
    };
    let owner = "access: [{ who: shop, role: owner, apps: [shop] }]\n";
    for access in ["", owner] {
        assert_eq!(
            policy(access),
            [
                "2 people have to approve a change of the policy, and only 1 may: nobody could ever change it again"
            ]
        );
    }
    assert_eq!(
        policy("access: [{ who: oncall, role: operator }]\n"),
        [""; 0]
    );
}
