//! What holds of reading specs whatever the files hold: it ends soon, it never panics, and it forgets nobody.

use crate::common::{is_quick, settings};
use muster_core::specs::{Look, SpecFile, read, render};
use muster_schemas::plan::Diagnostic;
use muster_schemas::spec::{
    Batch, Bytes, Capability, Capacity, Constraints, CpuMillis, Day, DelayedRetry,
    DisruptionBudget, DisruptionRate, DisruptionWindow, ExecProbe, ExponentialBackoffRetry, Hook,
    HttpProbe, ImmediateRetry, JobSpec, Mbps, Millis, PerInterval, PercentagePerHour,
    PercentagePerInterval, Port, PortRef, Probe, Resources, RetryPolicy, Rollout, Security,
    SelfManaged, Service, Spec, TcpProbe, Tier, TimeOfDay,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// A file of the largest size takes well under a second in a debug build; ten seconds leave room for a busy machine and
/// are far below what anything quadratic would take.
const SOON: Duration = Duration::from_secs(10);

/// A sixteenth of the largest file: large enough that anything quadratic takes minutes, small enough for a debug build to
/// read dozens of them in seconds. Right after an edit it is less.
fn hostile_bytes() -> usize {
    if is_quick() { 24 << 10 } else { 64 << 10 }
}

/// Deeper than anything is read; there are hundreds of these.
const DEEP_BYTES: usize = 16 << 10;

/// Reads one file and holds the result to everything that has to hold of any.
fn read_soundly(bytes: Vec<u8>) -> (Vec<Spec>, Vec<Diagnostic>) {
    let started = Instant::now();
    let files = [SpecFile {
        path: "a.yaml".to_owned(),
        bytes: bytes.into(),
    }];
    let documents = read(&files);
    assert!(started.elapsed() < SOON, "took {:?}", started.elapsed());
    for found in &documents.diagnostics {
        assert_eq!(found.path, "a.yaml");
        assert!(!found.code.is_empty() && !found.message.is_empty());
        assert!(found.line > 0 || found.column == 0, "{found:?}");
        assert!(found.source_line.chars().count() <= 161, "{found:?}");
        assert!(
            !found.source_line.contains(['\n', '\r', '\u{1b}']),
            "{found:?}"
        );
        for look in [
            Look::Plain,
            Look::Terminal {
                columns: 20,
                colour: true,
            },
        ] {
            assert!(render(found, look).contains(&found.code));
        }
    }
    assert_eq!(
        documents,
        read(&files),
        "reading depends on the files alone"
    );
    (
        documents
            .specs
            .into_iter()
            .map(|found| found.spec)
            .collect(),
        documents.diagnostics,
    )
}

/// A file with every field of a job, a batch job and a policy.
const WHOLE: &str = r#"# The shop.
apiVersion: muster/v1
kind: Job
name: web
app: shop
stack: prod
detail: canary
owner: web-team@example.com
tier: critical
capacityGroup: shop
labels: {team: web, "a/b": "c d"}
image: 127.0.0.1:5000/example/web:1
entrypoint: ["/bin/sh"]
command:
  - -c
  - |
    exec httpd -f -p 8080
env:
  LOG_LEVEL: info
  GREETING: 'it''s "fine"'
resources: {cpu: 0.5, memory: 256MiB, disk: 1GiB, network: 10Mbps, gpu: 0, shm: 64MiB}
ports:
  - name: http
    port: 8080
    hostPort: 18080
readiness:
  http: {port: http, path: /healthz}
  interval: 1s
liveness: {exec: {command: [/bin/true]}, failures: 5}
security: {readOnlyRoot: false, user: "1000:1000", capabilities: [CHOWN]}
constraints:
  hard: {uniqueHost: true, zones: [a, b]}
  soft: {hostLabels: {disk: ssd}}
killGrace: 1m30s
service:
  capacity: {min: 1, desired: 3, max: 5}
  retry:
    exponentialBackoff: {initial: 1s, max: 1m}
  rollout: {maxSurge: 2, maxUnavailable: 1, minHealthyTime: 10s}
disruptionBudget:
  unhealthyTasksLimit: 1
  rate: {perInterval: {limit: 2, interval: 10m}}
  windows: [{days: [mon], from: "08:00", to: "18:00", timeZone: UTC}]
---
apiVersion: muster/v1
kind: Job
name: nightly
owner: data-team@example.com
image: registry.example.com/report@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
batch: {size: 20, run: "2026-11-23", runtimeLimit: 2h, retryOnRuntimeLimit: true, retry: {delayed: {delay: 5s, retries: 2}}}
---
apiVersion: muster/v1
kind: Policy
name: default
prune: true
"#;

#[test]
fn the_whole_file_holds() {
    let (specs, diagnostics) = read_soundly(WHOLE.into());
    assert_eq!(diagnostics, []);
    assert_eq!(specs.len(), 3);
}

/// One change to a text. Positions and lines are taken modulo what there is.
#[derive(Debug, Clone)]
enum Mutation {
    DeleteLine(usize),
    RepeatLine(usize),
    SwapLines(usize, usize),
    Indent(usize, usize),
    Delete(usize, usize),
    Insert(usize, String),
    Copy(usize, usize, usize),
    Truncate(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let bits = prop::sample::select(vec![
        "\t",
        "  ",
        "\n",
        "\r",
        ":",
        ": ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        "|",
        ">",
        "&a ",
        "*a",
        "!x ",
        "<<: ",
        "---\n",
        "...\n",
        "%",
        "#",
        "?",
        "~",
        "null",
        "true",
        "0",
        "-1",
        "1e999",
        "99999999999999999999",
        "\u{feff}",
        "\0",
        "ü",
        "🚢",
        "\u{85}",
        "\u{2028}",
        "name: other\n",
        "kind: Job\n",
        "env:\n",
    ]);
    prop_oneof![
        any::<usize>().prop_map(Mutation::DeleteLine),
        any::<usize>().prop_map(Mutation::RepeatLine),
        any::<(usize, usize)>().prop_map(|(a, b)| Mutation::SwapLines(a, b)),
        (any::<usize>(), 0..6usize).prop_map(|(line, by)| Mutation::Indent(line, by)),
        (any::<usize>(), 1..40usize).prop_map(|(at, length)| Mutation::Delete(at, length)),
        (any::<usize>(), bits).prop_map(|(at, text)| Mutation::Insert(at, text.to_owned())),
        (any::<usize>(), any::<usize>(), 1..80usize)
            .prop_map(|(from, to, length)| Mutation::Copy(from, to, length)),
        any::<usize>().prop_map(Mutation::Truncate),
    ]
}

fn mutated(text: &str, mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for mutation in mutations {
        let length = bytes.len().max(1);
        let mut lines: Vec<Vec<u8>> = bytes
            .split_inclusive(|b| *b == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        let count = lines.len().max(1);
        if lines.is_empty() {
            return bytes;
        }
        match mutation {
            Mutation::DeleteLine(line) => {
                lines.remove(line % count);
                bytes = lines.concat();
            }
            Mutation::RepeatLine(line) => {
                let copy = lines[line % count].clone();
                lines.insert(line % count, copy);
                bytes = lines.concat();
            }
            Mutation::SwapLines(a, b) => {
                lines.swap(a % count, b % count);
                bytes = lines.concat();
            }
            Mutation::Indent(line, by) => {
                let line = &mut lines[line % count];
                let text: Vec<u8> = line.iter().copied().skip_while(|b| *b == b' ').collect();
                *line = [vec![b' '; *by], text].concat();
                bytes = lines.concat();
            }
            Mutation::Delete(at, size) => {
                let at = at % length;
                bytes.drain(at..(at + size).min(bytes.len()));
            }
            Mutation::Insert(at, text) => {
                let at = at % length;
                bytes.splice(at..at, text.bytes());
            }
            Mutation::Copy(from, to, size) => {
                let from = from % length;
                let part = bytes[from..(from + size).min(bytes.len())].to_vec();
                let to = to % length;
                bytes.splice(to..to, part);
            }
            Mutation::Truncate(at) => bytes.truncate(at % length),
        }
    }
    bytes
}

/// Names that stand in a mutated file as a whole `name:` line are never forgotten: each is read, told of, or covered by a
/// diagnostic without a job.
fn forgets_nobody(bytes: &[u8], specs: &[Spec], diagnostics: &[Diagnostic]) {
    if diagnostics.iter().any(|found| found.job.is_none()) {
        return;
    }
    for name in ["web", "nightly"] {
        let line = format!("\nname: {name}\n");
        let written = bytes
            .windows(line.len())
            .any(|window| window == line.as_bytes());
        let read = specs.iter().any(|spec| spec.name() == name);
        let told = diagnostics
            .iter()
            .any(|found| found.job.as_ref().is_some_and(|job| job.as_str() == name));
        assert!(!written || read || told, "{name} is forgotten");
    }
}

proptest! {
    #![proptest_config(settings(64, "tests/all/specs_properties.regressions"))]

    #[test]
    fn any_bytes_are_read(bytes in vec(any::<u8>(), 0..2000)) {
        read_soundly(bytes);
    }

    #[test]
    fn any_text_is_read(text in "[ -~\n\t:#&*!\\[\\]{}|>'\"%@`,?-]{0,400}") {
        read_soundly(text.into_bytes());
    }

    #[test]
    fn a_mutated_file_is_read(mutations in vec(mutation(), 1..8)) {
        let bytes = mutated(WHOLE, &mutations);
        let (specs, diagnostics) = read_soundly(bytes.clone());
        // Block text can hold a `name:` line only with an indent, so a line at the margin is a field.
        if !bytes.windows(2).any(|two| two == b"\"\n" || two == b"'\n") {
            forgets_nobody(&bytes, &specs, &diagnostics);
        }
    }

    #[test]
    fn deep_structures_are_refused_soon(
        parts in vec(prop::sample::select(vec!["[", "{", "- ", "? ", "a: ", "{a: ", "[[", "\"a\": ", "!x ", "&a "]), 1..40),
        times in 1..1000usize,
    ) {
        let text = parts.concat().repeat(times.min(DEEP_BYTES / parts.concat().len()));
        read_soundly(format!("{WHOLE}---\n{text}").into_bytes());
    }

    #[test]
    fn a_job_reads_back_as_it_was(job in job()) {
        let value = serde_json::to_value(&job).unwrap();
        let mut fields = serde_json::Map::new();
        fields.insert("apiVersion".to_owned(), "muster/v1".into());
        fields.insert("kind".to_owned(), "Job".into());
        fields.extend(value.as_object().unwrap().clone());
        let yaml = serde_saphyr::to_string(&fields).unwrap();
        let (specs, diagnostics) = read_soundly(yaml.clone().into_bytes());
        prop_assert_eq!(diagnostics, vec![], "{}", yaml);
        prop_assert_eq!(specs, vec![Spec::Job(std::sync::Arc::new(job))], "{}", yaml);
    }
}

/// Large files that are easy to write and hard to read.
#[test]
fn hostile_files_are_read_soon() {
    let fill = |text: &str| text.repeat(hostile_bytes() / text.len()).into_bytes();
    let keys: String = (0..25_000).map(|i| format!("k{i}: v\n")).collect();
    let anchors: String = (0..12_000).map(|i| format!("k{i}: &a{i} [x]\n")).collect();
    let mut bomb = "a0: &a0 [x, x]\n".to_owned();
    for i in 1..5000 {
        bomb.push_str(&format!("a{i}: &a{i} [*a{}, *a{}]\n", i - 1, i - 1));
    }
    for (title, bytes) in [
        ("brackets", fill("[")),
        ("braces", fill("{")),
        ("closing brackets", fill("]")),
        ("dashes", fill("- ")),
        ("question marks", fill("? ")),
        ("colons", fill(":")),
        ("keys in keys", fill("a: ")),
        ("quotes", fill("\"")),
        (
            "escapes",
            [&b"a: \""[..], &fill("\\n")[..hostile_bytes() - 8], b"\""].concat(),
        ),
        ("one line", fill("x")),
        ("one comment", fill("#")),
        ("comments", fill("#\n")),
        ("blank lines", fill("\n")),
        ("carriage returns", fill("\r")),
        ("documents", fill("---\n")),
        ("bad documents", fill("---\na\n")),
        ("ends", fill("...\n")),
        ("directives", fill("%A\n")),
        ("tags", fill("!a ")),
        ("anchors", fill("&a ")),
        ("aliases", fill("- *a\n")),
        ("byte order marks", fill("\u{feff}")),
        ("spaces", fill(" ")),
        ("tabs", fill("\t")),
        (
            "block text",
            [&b"a: |\n"[..], &fill(" x\n")[..hostile_bytes() - 8]].concat(),
        ),
        (
            "folded text",
            [&b"a: >\n"[..], &fill(" x\n\n")[..hostile_bytes() - 8]].concat(),
        ),
        ("one list", fill("- a\n")),
        (
            "one flow list",
            [&b"["[..], &fill("a,")[..hostile_bytes() - 8]].concat(),
        ),
        (
            "flow pairs",
            [&b"["[..], &fill("a: b,")[..hostile_bytes() - 8]].concat(),
        ),
        ("keys", keys.into_bytes()),
        ("the same key", fill("a: b\n")),
        ("anchored keys", anchors.into_bytes()),
        ("an alias bomb", bomb.into_bytes()),
        (
            "unknown fields",
            fill("apiVersion: muster/v1\nkind: Job\nname: a\nx: 1\ny: 2\nz: 3\n---\n"),
        ),
    ] {
        let started = Instant::now();
        read_soundly(bytes);
        eprintln!("{title}: {:?}", started.elapsed());
    }
}

fn label() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9]([a-zA-Z0-9._-]{0,10}[a-zA-Z0-9])?"
}

fn name() -> impl Strategy<Value = String> {
    "[a-z]([a-z0-9-]{0,10}[a-z0-9])?"
}

/// Any text that a program can be given, with everything that YAML has to quote.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~äöü🚢\n\t]{0,30}",
        prop::sample::select(vec![
            "true", "null", "~", "1", "0.5", "0x10", "", " ", "- a", "a: b", "#", "---", "yes",
            "*a", "&a", "\"", "'"
        ])
        .prop_map(str::to_owned),
    ]
}

fn retry() -> impl Strategy<Value = RetryPolicy> {
    prop_oneof![
        option::of(0..100u32)
            .prop_map(|retries| RetryPolicy::Immediate(ImmediateRetry { retries })),
        (0..100_000u64, option::of(0..100u32)).prop_map(|(delay, retries)| RetryPolicy::Delayed(
            DelayedRetry {
                delay: Millis(delay),
                retries
            }
        )),
        (1..100_000u64, 0..100_000u64, option::of(0..100u32)).prop_map(
            |(initial, more, retries)| {
                RetryPolicy::ExponentialBackoff(ExponentialBackoffRetry {
                    initial: Millis(initial),
                    max: Millis(initial + more),
                    retries,
                })
            }
        ),
    ]
}

fn probe() -> impl Strategy<Value = Probe> {
    let target = prop_oneof![
        (1..=u16::MAX, "/[a-z0-9/%?=]{0,20}").prop_map(|(port, path)| (
            Some(HttpProbe {
                port: PortRef::Number(port),
                path
            }),
            None,
            None
        )),
        Just((
            None,
            Some(TcpProbe {
                port: PortRef::Name("http".to_owned())
            }),
            None
        )),
        vec(text(), 0..3).prop_map(|mut rest| {
            rest.insert(0, "/bin/check".to_owned());
            (None, None, Some(ExecProbe { command: rest }))
        }),
    ];
    (target, 100..100_000u64, 1..100_000u64, 1..100u32).prop_map(
        |((http, tcp, exec), interval, timeout, failures)| Probe {
            http,
            tcp,
            exec,
            interval: Millis(interval),
            timeout: Millis(timeout),
            initial_delay: Millis(0),
            successes: 1,
            failures,
        },
    )
}

fn budget() -> impl Strategy<Value = DisruptionBudget> {
    let interval = || (1..1000u64).prop_map(Millis::secs);
    let rate = prop_oneof![
        Just(DisruptionRate::Unlimited),
        (1..=100u32).prop_map(|percentage| {
            DisruptionRate::PercentagePerHour(PercentagePerHour { percentage })
        }),
        (1..100u32, interval()).prop_map(|(limit, interval)| DisruptionRate::PerInterval(
            PerInterval { limit, interval }
        )),
        (1..=100u32, interval()).prop_map(|(percentage, interval)| {
            DisruptionRate::PercentagePerInterval(PercentagePerInterval {
                percentage,
                interval,
            })
        }),
    ];
    let limit = prop_oneof![
        (0..=100u32).prop_map(|percent| (Some(percent), None, None, None)),
        (0..100u32).prop_map(|tasks| (None, Some(tasks), None, None)),
        (0..100u32).prop_map(|times| (None, None, Some(times), None)),
        interval().prop_map(|relocation_time| (
            None,
            None,
            None,
            Some(SelfManaged { relocation_time })
        )),
    ];
    let windows = vec((0..1440u16, 0..=1440u16), 0..3).prop_map(|windows| {
        let window = |(from, to)| DisruptionWindow {
            days: vec![Day::Mon, Day::Sun],
            from: TimeOfDay(from),
            to: TimeOfDay(to),
            time_zone: "Europe/Vienna".to_owned(),
        };
        windows.into_iter().map(window).collect()
    });
    (limit, rate, windows).prop_map(|((percent, tasks, times, own), rate, windows)| {
        DisruptionBudget {
            availability_percentage_limit: percent,
            unhealthy_tasks_limit: tasks,
            relocation_limit: times,
            self_managed: own,
            rate,
            windows,
        }
    })
}

fn job() -> impl Strategy<Value = JobSpec> {
    let words = (
        name(),
        option::of(label()),
        "[ -~]{0,20}[a-z]",
        btree_map("[a-z][a-z0-9-]{0,8}[a-z]", "[ -~äöü]{0,20}", 0..4)
            .prop_filter("reserved", |labels| !labels.contains_key("muster")),
        btree_map("[A-LN-Z_][A-Z0-9_.-]{0,10}", text(), 0..5),
        option::of(vec(text(), 0..3)),
    );
    let numbers = (
        1..100_000u32,
        6..4096u64,
        option::of(probe()),
        0..60_000u64,
        any::<bool>(),
        option::of(budget()),
    );
    let kind = prop_oneof![
        (0..5u32, 0..5u32, 0..5u32, retry(), 1..5u32).prop_map(
            |(min, more, most, retry, max_surge)| (
                Some(Service {
                    capacity: Capacity {
                        min,
                        desired: min + more,
                        max: min + more + most
                    },
                    retry,
                    rollout: Rollout {
                        max_surge,
                        max_unavailable: 0,
                        min_healthy_time: Millis::secs(1),
                        ..Rollout::default()
                    },
                }),
                None
            )
        ),
        (
            1..1000u32,
            option::of("[ -~]{0,10}[a-z]"),
            1000..864_000_000u64,
            any::<bool>(),
            retry()
        )
            .prop_map(|(size, run, limit, retry_on_runtime_limit, retry)| (
                None,
                Some(Batch {
                    size,
                    // A hook has no run of its own.
                    hook: (run.is_none() && retry_on_runtime_limit).then_some(Hook::BeforeSync),
                    run,
                    runtime_limit: Millis(limit),
                    retry_on_runtime_limit,
                    retry
                })
            )),
    ];
    (words, numbers, kind).prop_map(
        |(
            (name, app, owner, labels, env, command),
            (cpu, memory, probe, grace, flag, budget),
            (service, batch),
        )| JobSpec {
            name: name.as_str().into(),
            app,
            stack: None,
            detail: None,
            owner,
            tier: if flag { Tier::Critical } else { Tier::Flex },
            capacity_group: "default".to_owned(),
            labels,
            image: "registry.example.com:5000/a/b:1".to_owned(),
            entrypoint: None,
            command: command.map(|mut words| {
                words.insert(0, "sh".to_owned());
                words
            }),
            env,
            resources: Resources {
                cpu: CpuMillis(cpu.max(10)),
                memory: Bytes::mib(memory),
                disk: Bytes(123_456),
                network: Mbps(5),
                gpu: 0,
                shm: Bytes::mib(6),
            },
            ports: vec![Port {
                name: "http".to_owned(),
                port: 80,
                host_port: flag.then_some(8080),
            }],
            readiness: probe.clone(),
            liveness: probe,
            security: Security {
                read_only_root: flag,
                user: Some("1000".to_owned()),
                capabilities: vec![Capability::NetBindService],
            },
            constraints: Constraints::default(),
            kill_grace: Millis(grace),
            depends_on: Vec::new(),
            disruption_budget: budget,
            service,
            batch,
        },
    )
}
