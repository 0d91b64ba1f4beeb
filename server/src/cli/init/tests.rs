use super::*;
use clap::Parser;
use muster_core::specs::{Look, SpecFile, read_local, render};
use std::io::Cursor;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    init: InitArgs,
}

fn arguments(arguments: &[&str]) -> InitArgs {
    Command::parse_from(std::iter::once(&"init").chain(arguments)).init
}

type Scripted = Conversation<Cursor<Vec<u8>>, Vec<u8>>;

fn talk(lines: &str) -> Scripted {
    Conversation {
        input: Cursor::new(lines.as_bytes().to_vec()),
        output: Vec::new(),
    }
}

fn without_asking(
    here: &Path,
    given: &[&str],
    email: Option<&str>,
) -> anyhow::Result<Option<Written>> {
    write(
        &arguments(given),
        here,
        email.map(str::to_owned),
        None::<&mut Scripted>,
    )
}

#[track_caller]
fn assert_holds(here: &Path, path: &Path) -> String {
    let text = fs::read_to_string(here.join(path)).unwrap();
    let documents = read_local(&[SpecFile {
        path: path.display().to_string(),
        bytes: text.as_bytes().into(),
    }]);
    let told: String = documents
        .diagnostics
        .iter()
        .map(|found| render(found, Look::Plain))
        .collect();
    assert_eq!(told, "", "{text}");
    assert_eq!(documents.specs.len(), 1);
    text
}

#[test]
fn a_service_is_written_by_asking_and_wrong_answers_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut talk = talk(
        "Shop Web\nshop-web\n\nregistry.example.com/shop web\nregistry.example.com/shop/web:1.4\ndaemon\n\n80x\n80\nhealth\n/health\n\
         3\n0.5\n12 cows\n256MiB\n",
    );
    let written = write(
        &arguments(&[]),
        folder.path(),
        Some("ada@example.com".to_owned()),
        Some(&mut talk),
    )
    .unwrap()
    .unwrap();
    assert_eq!(written.spec, Path::new("shop-web.yaml"));
    assert_eq!(
        written.schema.as_deref(),
        Some(Path::new(".schemas/muster.schema.json"))
    );
    let said = String::from_utf8(talk.output).unwrap();
    insta::assert_snapshot!(said.replace(": ", ":\n"), @r##"
    The job's name (it stays the same for ever; lower-case letters, digits, hyphens):
      `name` cannot be `Shop Web`; it is made of lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen; at most 63 characters; `shop-web` would do
    The job's name (it stays the same for ever; lower-case letters, digits, hyphens):
    Whom to ask about it (an e-mail address or a team) [ada@example.com]:
    Its image, such as registry.example.com/shop/web:1:
      `registry.example.com/shop web` holds white space; write `registry/name:tag` or `registry/name@sha256:…`, such as registry.example.com/shop/web:1.4.2
    Its image, such as registry.example.com/shop/web:1:
    A service, which runs on, or a batch job, which finishes (service, batch) [service]:
      it is `service` or `batch`
    A service, which runs on, or a batch job, which finishes (service, batch) [service]:
    The port that the container listens on (or none) [8080]:
      `ports[0].port` cannot be the text `80x`; write a whole number from 1 to 65535
    The port that the container listens on (or none) [8080]:
    A path that answers with 200 while it can serve (or none) [/healthz]:
      the path `health` does not begin with `/`; write the path alone, such as /healthz
    A path that answers with 200 while it can serve (or none) [/healthz]:
    How many tasks [1]:
    CPUs for each task [0.1]:
    Memory for each task [128MiB]:
      `resources.memory`:
    `12 cows` is not a size; write a whole number and a unit, such as 256MiB or 2GiB
    Memory for each task [128MiB]:
    "##);
    insta::assert_snapshot!(assert_holds(folder.path(), &written.spec), @r##"
    # yaml-language-server: $schema=.schemas/muster.schema.json
    apiVersion: muster/v1
    kind: Job
    # What the job is known by: another name is another job. The file may be moved.
    name: shop-web
    owner: ada@example.com
    # A tag is turned into a digest when the change is planned; only a commit moves it.
    image: registry.example.com/shop/web:1.4
    # env:
    #   LOG_LEVEL: info
    # What each task may use; one that needs more memory is killed.
    resources:
      cpu: 0.5
      memory: 256MiB
    ports:
      - name: http
        port: 80
        # hostPort: 8080  # to reach it under the host's address
    # A task counts as healthy while this answers ...
    readiness:
      http:
        port: http
        path: /health
    # ... and is replaced once nothing listens any more.
    liveness:
      tcp:
        port: http
      initialDelay: 10s
      interval: 5s
    # From the stop signal to the kill signal.
    killGrace: 10s
    service:
      capacity:
        desired: 3
      rollout:
        # One more task than desired starts first; none is stopped before it is healthy.
        maxSurge: 1
        maxUnavailable: 0
    "##);
}

#[test]
fn a_batch_job_is_written_from_flags_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("jobs")).unwrap();
    let given = [
        "--name=parts",
        "--owner=data team",
        "--image=work:1",
        "--kind=batch",
        "--count=20",
    ];
    let written = without_asking(folder.path(), &given, None)
        .unwrap()
        .unwrap();
    assert_eq!(written.spec, Path::new("jobs/parts.yaml"));
    insta::assert_snapshot!(assert_holds(folder.path(), &written.spec), @r##"
    # yaml-language-server: $schema=.schemas/muster.schema.json
    apiVersion: muster/v1
    kind: Job
    # What the job is known by: another name is another job. The file may be moved.
    name: parts
    owner: "data team"
    # A tag is turned into a digest when the change is planned; only a commit moves it.
    image: work:1
    # env:
    #   LOG_LEVEL: info
    # What each task may use; one that needs more memory is killed.
    resources:
      cpu: 0.1
      memory: 128MiB
    # From the stop signal to the kill signal.
    killGrace: 10s
    batch:
      # Each task finishes once. Change `run` to any other text to run all of them again.
      size: 20
      run: first
      # An attempt that runs longer has failed.
      runtimeLimit: 1h
      retry:
        exponentialBackoff:
          initial: 1s
          max: 1m
          retries: 3
    "##);
}

#[test]
fn every_kind_of_document_holds() {
    let base = ["--name=a", "--owner=o", "--image=a:1"];
    for (number, more) in [
        &["--port=none"][..],
        &["--health-path=none"],
        &["--kind=batch", "--memory=1GiB"],
        &["--owner=true", "--count=0"],
        &["--owner=Ann \"A\" #1: b"],
    ]
    .into_iter()
    .enumerate()
    {
        let folder = tempfile::tempdir().unwrap();
        let mut given: Vec<&str> = base
            .into_iter()
            .filter(|flag| {
                !more
                    .iter()
                    .any(|more| more.split('=').next() == flag.split('=').next())
            })
            .collect();
        given.extend(more);
        let written = without_asking(folder.path(), &given, None)
            .unwrap_or_else(|error| panic!("{number}: {error:#}"))
            .unwrap();
        assert_holds(folder.path(), &written.spec);
    }
}

#[test]
fn what_is_missing_or_wrong_is_told_by_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    let told = |given: &[&str], email: Option<&str>| {
        let error = without_asking(folder.path(), given, email).unwrap_err();
        error.to_string()
    };
    assert_eq!(told(&[], None), "missing: --name, --owner, --image");
    assert_eq!(
        told(&["--image=a:1"], Some("a@example.com")),
        "missing: --name"
    );
    let error = told(&["--name=a", "--owner=o", "--image=a:1", "--port=0"], None);
    assert!(error.starts_with("--port 0: "), "{error}");
    let error = told(&["--kind=cron"], None);
    assert_eq!(error, "--kind cron: it is `service` or `batch`");
    let error = told(&["--kind=batch", "--port=80"], None);
    assert!(error.starts_with("--port 80: this job has none"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_there_is_overwritten_only_by_a_persons_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    let given = ["a.yaml", "--name=a", "--owner=o", "--image=a:1"];
    fs::write(&path, "mine").unwrap();
    let error = without_asking(folder.path(), &given, None).unwrap_err();
    assert_eq!(error.to_string(), "a.yaml is there already");

    let enters = "\n".repeat(6);
    let mut no = talk(&format!("{enters}n\n"));
    let kept = write(&arguments(&given), folder.path(), None, Some(&mut no)).unwrap();
    assert!(kept.is_none());
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");

    let mut yes = talk(&format!("{enters}y\n"));
    write(&arguments(&given), folder.path(), None, Some(&mut yes))
        .unwrap()
        .unwrap();
    assert_holds(folder.path(), Path::new("a.yaml"));

    fs::write(&path, "mine").unwrap();
    let given = [&given[..], &["--force"]].concat();
    without_asking(folder.path(), &given, None)
        .unwrap()
        .unwrap();
    assert_holds(folder.path(), Path::new("a.yaml"));
}

#[test]
fn the_schema_of_the_repository_is_used_where_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let schemas = folder.path().join(".schemas");
    fs::create_dir(&schemas).unwrap();
    fs::write(schemas.join("muster.schema.json"), "{}").unwrap();
    let given = ["shop/jobs", "--name=a", "--owner=o", "--image=a:1"];
    let written = without_asking(folder.path(), &given, None)
        .unwrap()
        .unwrap();
    assert_eq!(written.spec, Path::new("shop/jobs/a.yaml"));
    assert_eq!(written.schema, None);
    let text = assert_holds(folder.path(), &written.spec);
    assert!(
        text.starts_with("# yaml-language-server: $schema=../../.schemas/muster.schema.json\n")
    );
    assert_eq!(
        fs::read_to_string(schemas.join("muster.schema.json")).unwrap(),
        "{}"
    );
}
