//! A field is changed in the text that people wrote, and nothing else is.

use muster_core::specs::edit::{EditError, NewValue, restore_field, set_fields, take_document};
use muster_core::specs::{SpecFile, read};
use muster_schemas::ids::JobId;
use muster_schemas::spec::{JobSpec, Spec};
use proptest::prelude::*;

const FILE: &str = r#"# The shop.
apiVersion: muster/v1
kind: Job
name: other
owner: a@example.com
image: registry.example.com/other:1
service: {capacity: {desired: 1}}
--- # what people see
apiVersion: muster/v1
kind: Job
name: web
owner: 'shop-team@example.com' # ask them
image:   "registry.example.com/shop/web:1.4.2"  # by the pipeline
env:
  # how much is said
  LOG_LEVEL: info

service:
    capacity:
        min: 1
        desired: 3   # enough for the week
"#;

fn path(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

fn text(text: &str) -> NewValue {
    NewValue::Text(text.to_owned())
}

fn job(file: &str, name: &str) -> JobSpec {
    let file = SpecFile {
        path: "shop.yaml".to_owned(),
        bytes: file.as_bytes().into(),
    };
    let documents = read(&[file]);
    assert_eq!(documents.diagnostics, []);
    documents
        .specs
        .into_iter()
        .find_map(|located| match located.spec {
            Spec::Job(job) if job.name.as_str() == name => Some((*job).clone()),
            Spec::Job(_) | Spec::Policy(_) => None,
        })
        .expect("the job is there")
}

#[test]
fn only_the_field_changes() {
    let edited = set_fields(
        FILE,
        &JobId::from("web"),
        &[
            (path("image"), text("registry.example.com/shop/web:1.5.0")),
            (path("service.capacity.desired"), NewValue::Number(12)),
            (path("env.LOG_LEVEL"), text("debug: \"yes\"")),
            (path("env.NEW"), text("1")),
        ],
    )
    .unwrap();
    insta::assert_snapshot!(edited);
    let (before, after) = (job(FILE, "web"), job(&edited, "web"));
    assert_eq!(after.image, "registry.example.com/shop/web:1.5.0");
    assert_eq!(after.size(), 12);
    assert_eq!(after.env["LOG_LEVEL"], "debug: \"yes\"");
    assert_eq!(after.env["NEW"], "1");
    assert_eq!(before.owner, after.owner);
    assert_eq!(job(FILE, "other"), job(&edited, "other"));
}

#[test]
fn what_is_missing_is_added_where_it_belongs() {
    for (body, field) in [
        ("env: {}\n", "env.A"),
        ("env: {B: x}\n", "env.A"),
        ("env:\n", "env.A"),
        ("", "env.A"),
    ] {
        let file = format!(
            "apiVersion: muster/v1\nkind: Job\nname: web\nowner: a@example.com\nimage: x/y:1\n{body}service: {{capacity: {{desired: 1}}}}\n"
        );
        let edited = set_fields(&file, &JobId::from("web"), &[(path(field), text("v"))]).unwrap();
        let spec = job(&edited, "web");
        assert_eq!(spec.env["A"], "v", "{edited}");
        assert_eq!(spec.env.contains_key("B"), body.contains("B: x"));
    }
    let batch = "apiVersion: muster/v1\nkind: Job\nname: work\nowner: a@example.com\nimage: x/y:1\nbatch: {}\n";
    let edited = set_fields(
        batch,
        &JobId::from("work"),
        &[(path("batch.run"), text("2026-11-27"))],
    )
    .unwrap();
    assert_eq!(
        job(&edited, "work").batch.unwrap().run.as_deref(),
        Some("2026-11-27")
    );
}

#[test]
fn what_cannot_be_set_says_so() {
    let web = JobId::from("web");
    let nowhere = JobId::from("nowhere");
    assert_eq!(
        set_fields(FILE, &nowhere, &[(path("image"), text("x"))]),
        Err(EditError::NoDocument(nowhere.clone()))
    );
    assert_eq!(
        set_fields(FILE, &web, &[(path("service"), text("x"))]),
        Err(EditError::NoPlace("service".to_owned()))
    );
    assert_eq!(
        set_fields(FILE, &web, &[(path("a.b.c"), text("x"))]),
        Err(EditError::NoPlace("a.b.c".to_owned()))
    );
}

#[test]
fn a_document_is_taken_over_as_it_was() {
    let web = JobId::from("web");
    let changed = set_fields(FILE, &web, &[(path("image"), text("x/y:2"))]).unwrap();
    assert_eq!(take_document(FILE, &changed, &web).unwrap(), FILE);
    // One that is gone comes back at the end.
    let without = &FILE[..FILE.find("---").unwrap()];
    let back = take_document(FILE, without, &web).unwrap();
    assert_eq!(back, FILE);
    assert_eq!(
        take_document(FILE, "", &web).map(|text| job(&text, "web")),
        Ok(job(FILE, "web"))
    );
}

proptest! {
    /// Whatever text a variable gets, it is read back as it was, and all else stays.
    #[test]
    fn any_text_is_read_back(value in "[ -~äß€\\n\\t]{0,40}", number in 0u64..10_000) {
        let web = JobId::from("web");
        let edited = set_fields(FILE, &web, &[
            (path("env.LOG_LEVEL"), NewValue::Text(value.clone())),
            (path("service.capacity.desired"), NewValue::Number(number.max(1))),
        ]).unwrap();
        let spec = job(&edited, "web");
        prop_assert_eq!(&spec.env["LOG_LEVEL"], &value);
        prop_assert_eq!(u64::from(spec.size()), number.max(1));
        prop_assert_eq!(edited.lines().count(), FILE.lines().count());
        prop_assert_eq!(job(&edited, "other"), job(FILE, "other"));
    }
}

/// What is set and then put back is as it was, in each form that a mapping can have.
#[test]
fn a_field_that_was_set_is_put_back_as_it_was() {
    let head = "kind: Job\nname: web\nimage: \"app:1\" # the first\n";
    for (rest, field) in [
        ("", "image"),
        ("", "env.NEW"),
        ("env: {}\n", "env.NEW"),
        ("env: {A: b}\n", "env.NEW"),
        ("env: {A: b}\n", "env.A"),
        ("env:\n  A: b # why\n  C: d\n", "env.NEW"),
        ("env:\n  A: b # why\n  C: d\nother: 1\n", "env.C"),
        ("batch:\n  size: 3\n# at the end\n", "batch.run"),
        (
            "batch: {size: 3}\n---\nkind: Job\nname: other\n",
            "batch.run",
        ),
    ] {
        let before = format!("{head}{rest}");
        let job = JobId::from("web");
        let set = set_fields(&before, &job, &[(path(field), text("v"))]).unwrap();
        assert_ne!(set, before);
        let back = restore_field(&before, &set, &job, &path(field)).unwrap();
        assert_eq!(back, before, "{field} in\n{set}");
    }
}

#[test]
fn only_the_field_is_put_back_and_what_others_wrote_since_stays() {
    let job = JobId::from("web");
    let before = "kind: Job\nname: web\nimage: app:1\n";
    let now = "kind: Job\nname: web\n# faster\nimage: app:2 # mine\nenv:\n  NEW: v\n  OURS: w\n";
    let image = restore_field(before, now, &job, &path("image")).unwrap();
    assert_eq!(image, now.replace("app:2", "app:1"));
    let env = restore_field(before, now, &job, &path("env.NEW")).unwrap();
    assert_eq!(env, now.replace("  NEW: v\n", ""));
    // What is not there any more is not put back.
    let gone = restore_field(now, before, &job, &path("env.NEW")).unwrap();
    assert_eq!(gone, before);
    let list = "kind: Job\nname: web\nimage: [a]\n";
    assert_eq!(
        restore_field(before, list, &job, &path("image")),
        Err(EditError::NoPlace("image".to_owned()))
    );
    assert_eq!(
        restore_field("name: x\n", now, &job, &path("image")),
        Err(EditError::NoDocument(job))
    );
}
