//! A spec as people write it: JSON with the document's field names, printed as YAML for reading.

use serde_json::Value;

/// The value as block-style YAML. It is for reading: what it prints parses back to the same value.
pub fn print(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(_) | Value::Array(_) => block(value, 0, &mut text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&scalar(value));
            text.push('\n');
        }
    }
    text
}

fn block(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| rank(name));
            for (name, field) in fields {
                indent(depth, text);
                text.push_str(&plain_or_quoted(name));
                text.push(':');
                child(field, depth + 1, text);
            }
        }
        Value::Array(items) => {
            for item in items {
                indent(depth, text);
                text.push('-');
                if let Value::Object(fields) = item
                    && !fields.is_empty()
                {
                    // The first field stands on the dash's own line.
                    let mut inner = String::new();
                    block(item, depth + 1, &mut inner);
                    text.push(' ');
                    text.push_str(inner.trim_start());
                } else {
                    child(item, depth + 1, text);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&scalar(value));
            text.push('\n');
        }
    }
}

/// JSON objects come without an order. People write what a thing is first and how it runs later; names that are not
/// here keep their alphabetical order, in the middle.
fn rank(name: &str) -> usize {
    const FIRST: [&str; 25] = [
        "apiVersion",
        "kind",
        "name",
        "app",
        "stack",
        "detail",
        "owner",
        "tier",
        "capacityGroup",
        "labels",
        "image",
        "entrypoint",
        "command",
        "port",
        "hostPort",
        "path",
        "min",
        "desired",
        "cpu",
        "memory",
        "disk",
        "network",
        "gpu",
        "shm",
        "http",
    ];
    const LAST: [&str; 9] = [
        "resources",
        "ports",
        "readiness",
        "liveness",
        "security",
        "constraints",
        "killGrace",
        "service",
        "batch",
    ];
    FIRST
        .iter()
        .position(|known| *known == name)
        .or_else(|| {
            LAST.iter()
                .position(|known| *known == name)
                .map(|place| FIRST.len() + 1 + place)
        })
        .unwrap_or(FIRST.len())
}

fn child(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            block(value, depth, text);
        }
        Value::Array(items) if is_flow(items) => {
            let items: Vec<String> = items.iter().map(scalar).collect();
            text.push_str(&format!(" [{}]\n", items.join(", ")));
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            block(value, depth, text);
        }
        Value::Object(_) => text.push_str(" {}\n"),
        Value::Array(_) => text.push_str(" []\n"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push(' ');
            text.push_str(&scalar(value));
            text.push('\n');
        }
    }
}

/// Short lists of scalars read best on one line.
fn is_flow(items: &[Value]) -> bool {
    !items.is_empty()
        && items
            .iter()
            .all(|item| !item.is_object() && !item.is_array())
        && items
            .iter()
            .map(|item| scalar(item).len() + 2)
            .sum::<usize>()
            <= 72
}

/// A value on one line.
pub fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => plain_or_quoted(text),
        Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// A text plain where that reads back as the same text, else as a JSON string, which YAML understands.
fn plain_or_quoted(text: &str) -> String {
    let word = text.to_ascii_lowercase();
    let reserved = [
        "", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf",
        "-.inf",
    ];
    let begins_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || "/_.".contains(c));
    let all_plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_./@+= :".contains(c));
    let digit_first = text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_alphabetic());
    // `0x1f` and `1e5`-like words are numbers to some readers; amounts such as `512MiB` are not.
    let amount =
        digit_first && !text.starts_with('0') && !word.contains(['e', ':']) || is_zero_amount(text);
    let safe = !reserved.contains(&word.as_str())
        && (begins_plain || amount)
        && all_plain
        && !text.contains(": ")
        && !text.ends_with([' ', ':']);
    if safe {
        text.to_owned()
    } else {
        Value::String(text.to_owned()).to_string()
    }
}

/// `0s`, `0B`, `0Mbps`.
fn is_zero_amount(text: &str) -> bool {
    matches!(text, "0s" | "0B" | "0Mbps")
}

fn indent(depth: usize, text: &mut String) {
    for _ in 0..depth {
        text.push_str("  ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_spec_reads_like_a_document() {
        let spec = json!({
            "name": "web",
            "image": "registry.example.com/shop/web:1.2",
            "command": ["/bin/web", "--listen", ":8080"],
            "env": { "GREETING": "yes", "EMPTY": "" },
            "resources": { "cpu": 0.5, "memory": "512MiB", "network": "0Mbps" },
            "ports": [{ "name": "http", "port": 8080 }],
            "labels": {},
            "constraints": { "zones": [] }
        });
        assert_eq!(
            print(&spec),
            "\
name: web
labels: {}
image: registry.example.com/shop/web:1.2
command: [/bin/web, \"--listen\", \":8080\"]
env:
  EMPTY: \"\"
  GREETING: \"yes\"
resources:
  cpu: 0.5
  memory: 512MiB
  network: 0Mbps
ports:
  - name: http
    port: 8080
constraints:
  zones: []
"
        );
    }

    #[test]
    fn texts_that_would_read_as_something_else_are_quoted() {
        for text in [
            "true", "No", "12", "1.5", "-x", "a: b", "a #b", "x:", "{a}", "1e5", "0x1f", "12:30",
            "\n",
        ] {
            assert!(plain_or_quoted(text).starts_with('"'), "{text}");
        }
        for text in [
            "web",
            "/bin/sh",
            "30s",
            "1h30m",
            "a b",
            "shop-team@example.com",
        ] {
            assert_eq!(plain_or_quoted(text), text);
        }
    }
}
