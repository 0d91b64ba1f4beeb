//! Bodies by a template of the operator's.

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use muster_schemas::api::EventView;
use serde::Serialize;
use serde_json::Value;

/// So many steps may a template take: a loop over a plan of 10,000 jobs takes a tenth of it, one without end does not end well.
const FUEL: u64 = 1_000_000;

const JSON: &str = "application/json";

/// A template that holds.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    content_type: String,
}

/// What a template can name.
#[derive(Serialize)]
pub(super) struct TemplateContext<'a> {
    /// The event, as the API's watch shows it.
    pub event: &'a EventView,
    /// The cell's name.
    pub cell: &'a str,
    /// The console's page of what the event is about; none without `consoleUrl`.
    pub link: Option<&'a str>,
}

impl Template {
    /// Reads a template, and tries it on an event. In JSON, which it is without a content type, each value is put as JSON:
    /// text with its quotes.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn new(source: String, content_type: Option<&str>) -> Result<Self, String> {
        let content_type = content_type.unwrap_or(JSON).to_owned();
        if reqwest::header::HeaderValue::from_str(&content_type).is_err() {
            return Err("its `contentType` cannot stand in a header".to_owned());
        }
        let escape = if is_json(&content_type) {
            AutoEscape::Json
        } else {
            AutoEscape::None
        };
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(move |_| escape.clone());
        // Events differ in what they have: what one lacks is left empty.
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(FUEL));
        environment
            .add_template_owned("body", source)
            .map_err(|error| error.to_string())?;
        let template = Self {
            environment,
            content_type,
        };
        template.render(&TemplateContext {
            event: &sample(),
            cell: "local",
            link: Some("https://muster.example.com/plans/5f3ba1032aaa"),
        })?;
        Ok(template)
    }

    /// What the body is.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The body.
    pub(super) fn render(&self, context: &TemplateContext<'_>) -> Result<String, String> {
        let rendered = self
            .environment
            .get_template("body")
            .and_then(|template| template.render(minijinja::value::Serde(context)))
            .map_err(|error| error.to_string())?;
        if is_json(&self.content_type)
            && let Err(error) = serde_json::from_str::<Value>(&rendered)
        {
            return Err(format!(
                "what it makes is no JSON: {error}; values bring their own quotes, so write {{{{ event.text }}}} without any"
            ));
        }
        Ok(rendered)
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(JSON) || essence.ends_with("+json")
}

/// An event to try templates on.
fn sample() -> EventView {
    EventView {
        seq: 42,
        at: jiff::Timestamp::UNIX_EPOCH,
        actor: "ann".to_owned(),
        kind: "plan_held".to_owned(),
        text: "plan 5f3ba1032aaa is held: \"too many\"".to_owned(),
        job: Some("web".to_owned()),
        task: Some("web.0".to_owned()),
        attempt: None,
        host: None,
        plan: Some("5f3ba1032aaa".to_owned()),
        data: serde_json::json!({"event": "plan_held", "plan": "5f3ba1032aaa", "reasons": []}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, content_type: Option<&str>) -> Result<String, String> {
        let template = Template::new(source.to_owned(), content_type)?;
        template.render(&TemplateContext {
            event: &sample(),
            cell: "local",
            link: None,
        })
    }

    #[test]
    fn values_are_put_as_json_where_the_body_is_json() {
        let body = render(
            r#"{"msg": {{ event.text }}, "in": {{ cell }}, "link": {{ link }}, "none": {{ event.data.no.such }}}"#,
            None,
        );
        assert_eq!(
            body.as_deref(),
            Ok(
                r#"{"msg": "plan 5f3ba1032aaa is held: \"too many\"", "in": "local", "link": null, "none": null}"#
            )
        );
    }

    #[test]
    fn text_is_left_as_it_is() {
        let body = render(
            "{{ cell }}: {{ event.text }}{% if event.task %} ({{ event.task }}){% endif %}",
            Some("text/plain; charset=utf-8"),
        );
        assert_eq!(
            body.as_deref(),
            Ok("local: plan 5f3ba1032aaa is held: \"too many\" (web.0)")
        );
    }

    #[test]
    fn what_does_not_hold_is_said_at_the_start() {
        for (source, words) in [
            ("{% if %}", "syntax error"),
            (r#"{"msg": "{{ event.text }}"}"#, "no JSON"),
            ("{{ event.text | nofilter }}", "nofilter"),
            (
                "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}",
                "fuel",
            ),
        ] {
            let error = render(source, None).unwrap_err();
            assert!(error.contains(words), "{source}: {error}");
        }
    }
}
