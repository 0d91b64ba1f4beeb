//! JSON Schemas of the specs, for editors: completion, hover and squiggles come from them.
//!
//! They say as much of the rules as JSON Schema can say simply; `muster validate` knows the rest.

use super::{API_VERSION, JobSpec, PolicySpec};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The generated files: their names and their content.
pub fn files() -> Vec<(&'static str, String)> {
    let job = job();
    let policy = policy();
    let any = json!({
        "$schema": DRAFT,
        "title": "Muster spec",
        "description": "One document of a repository of Muster specs.",
        "type": "object",
        "required": ["apiVersion", "kind", "name"],
        "oneOf": [without_draft(&job), without_draft(&policy)],
    });
    [
        ("job.schema.json", job),
        ("policy.schema.json", policy),
        ("muster.schema.json", any),
    ]
    .into_iter()
    .map(|(name, mut schema)| {
        // The order must not hang on which features of the JSON library other crates ask for.
        schema.sort_all_objects();
        (name, format!("{schema:#}\n"))
    })
    .collect()
}

/// The draft that YAML's language server knows best.
const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// The schema of a `Job` document.
pub fn job() -> Value {
    let mut schema = document::<JobSpec>("Job", "A job: a service or a batch job.");
    schema["oneOf"] = json!([
        { "required": ["service"], "not": { "required": ["batch"] } },
        { "required": ["batch"], "not": { "required": ["service"] } },
    ]);
    schema["properties"]["env"]["propertyNames"] =
        json!({ "pattern": "^(?!MUSTER_)[A-Za-z_][A-Za-z0-9_.-]*$" });
    schema["properties"]["labels"]["propertyNames"] =
        json!({ "pattern": "^(?!muster([./]|$))[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$" });
    for probe in ["readiness", "liveness"] {
        schema["properties"][probe]["oneOf"] =
            json!([{ "required": ["http"] }, { "required": ["tcp"] }, { "required": ["exec"] }]);
    }
    schema["properties"]["disruptionBudget"]["oneOf"] = json!([
        { "required": ["availabilityPercentageLimit"] },
        { "required": ["unhealthyTasksLimit"] },
        { "required": ["relocationLimit"] },
        { "required": ["selfManaged"] },
    ]);
    schema
}

/// The schema of a `Policy` document.
pub fn policy() -> Value {
    document::<PolicySpec>(
        "Policy",
        "What automation may do unattended. A repository holds at most one.",
    )
}

/// The schema of one kind's documents.
fn document<T: JsonSchema>(kind: &str, description: &str) -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    plain(&mut schema);
    schema["title"] = kind.into();
    schema["description"] = description.into();
    schema["properties"]["apiVersion"] = json!({
        "description": "The format's version. The only one so far.",
        "const": API_VERSION,
    });
    schema["properties"]["kind"] = json!({ "description": description, "const": kind });
    if let Some(required) = schema["required"].as_array_mut() {
        required.insert(0, "kind".into());
        required.insert(0, "apiVersion".into());
    }
    schema
}

/// Takes out what is Rust's rather than the format's: `null` for fields that can be left out, integer widths, and line
/// breaks in descriptions.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = &types[..] {
                    let only = only.clone();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type") != Some(&"null".into()));
                if let [only] = &choices[..] {
                    let only = only.as_object().cloned().unwrap_or_default();
                    fields.remove("anyOf");
                    keep_own(fields, only);
                }
            }
            if let Some(Value::Array(parts)) = fields.get("allOf")
                && let [only] = &parts[..]
            {
                let only = only.as_object().cloned().unwrap_or_default();
                fields.remove("allOf");
                keep_own(fields, only);
            }
            if fields.get("default") == Some(&Value::Null) {
                fields.remove("default");
            }
            if fields
                .get("format")
                .and_then(Value::as_str)
                .is_some_and(|format| format.starts_with("uint"))
            {
                fields.remove("format");
            }
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text
                    .replace("\n\n", "\u{0}")
                    .replace('\n', " ")
                    .replace('\u{0}', "\n\n");
            }
            for field in fields.values_mut() {
                plain(field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Adds the fields of `other` that are not there: a field's own description says more than its type's.
fn keep_own(fields: &mut Map<String, Value>, other: Map<String, Value>) {
    for (name, value) in other {
        fields.entry(name).or_insert(value);
    }
}

fn without_draft(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("$schema");
    }
    schema
}
