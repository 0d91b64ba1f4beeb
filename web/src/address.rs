//! Addresses: the API's and the console's own, with filters in their query.

/// A list's filters as they stand in an address: pairs, in the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filters(pub Vec<(String, String)>);

impl Filters {
    /// Every value of a key.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The first value of a key, or nothing.
    pub fn first<'a>(&'a self, key: &'a str) -> &'a str {
        self.all(key).next().unwrap_or_default()
    }

    /// Whether the key has the value.
    pub fn has(&self, key: &str, value: &str) -> bool {
        self.all(key).any(|one| one == value)
    }

    /// The key with this one value; an empty value takes the key away.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        let value = value.trim();
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some(pair) if !value.is_empty() => {
                value.clone_into(&mut pair.1);
                let mut seen = false;
                self.0
                    .retain(|(name, _)| name != key || !std::mem::replace(&mut seen, true));
            }
            Some(_) => self.0.retain(|(name, _)| name != key),
            None if value.is_empty() => {}
            None => self.0.push((key.to_owned(), value.to_owned())),
        }
        self
    }

    /// The key with the value more, or less where it has it.
    pub fn toggled(mut self, key: &str, value: &str) -> Self {
        if self.has(key, value) {
            self.0.retain(|(name, one)| name != key || one != value);
        } else {
            self.0.push((key.to_owned(), value.to_owned()));
        }
        self
    }

    /// Only these keys: what an address carries besides is not the API's concern.
    pub fn picked(&self, keys: &[&str]) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(name, value)| keys.contains(&name.as_str()) && !value.is_empty())
                .cloned()
                .collect(),
        )
    }

    /// The path with the filters as its query.
    pub fn on(&self, path: &str) -> String {
        let mut address = path.to_owned();
        for (place, (name, value)) in self.0.iter().enumerate() {
            address.push(if place == 0 { '?' } else { '&' });
            address.push_str(&escape(name));
            address.push('=');
            address.push_str(&escape(value));
        }
        address
    }
}

/// A text as a part of a path or a query.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// The console's page of a job.
pub fn job(id: &str) -> String {
    format!("/jobs/{}", escape(id))
}

/// The console's page of a task.
pub fn task(id: &str) -> String {
    format!("/tasks/{}", escape(id))
}

/// The console's page of a host.
pub fn host(id: &str) -> String {
    format!("/hosts/{}", escape(id))
}

/// The console's page of a plan.
pub fn plan(id: &str) -> String {
    format!("/plans/{}", escape(id))
}

/// The key under which an address carries the moment that is shown.
pub const MOMENT: &str = "at";

/// The console's address of what has changed since a moment.
pub fn diff(since: &str) -> String {
    Filters::default().with(MOMENT, since).on("/diff")
}

/// The address at this moment, whatever it carries: nothing else of it changes. None is now.
pub fn at_moment(address: &str, at: Option<&str>) -> String {
    let (rest, fragment) = match address.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (address, None),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let own = format!("{MOMENT}=");
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && *pair != MOMENT && !pair.starts_with(&own))
        .map(str::to_owned)
        .collect();
    pairs.extend(at.map(|at| format!("{own}{}", escape(at))));
    let mut whole = path.to_owned();
    if !pairs.is_empty() {
        whole.push('?');
        whole.push_str(&pairs.join("&"));
    }
    if let Some(fragment) = fragment {
        whole.push('#');
        whole.push_str(fragment);
    }
    whole
}

/// Where to ask the API about the moment; none where it tells the present alone, as it does of logs and of use.
pub fn asked_at(path: &str, at: &str) -> Option<String> {
    let plain = path.split('?').next().unwrap_or_default();
    let mut parts = plain.trim_start_matches('/').split('/');
    let kind = parts.next().unwrap_or_default();
    let known = ["jobs", "tasks", "hosts", "plans", "fleet", "events"].contains(&kind);
    let has_past = match (parts.next(), parts.next(), parts.next()) {
        (_, None, None) => true,
        (_, Some(part), None) => kind == "tasks" && part == "explain",
        _ => false,
    };
    (known && has_past).then(|| at_moment(path, Some(at)))
}

/// The console's page of a deploy.
pub fn deploy(id: &str) -> String {
    format!("/deploys/{}", escape(id))
}

/// Takes the token out of an address's fragment: `#token=…`, alone or among other pairs.
pub fn token(fragment: &str) -> Option<String> {
    fragment
        .trim_start_matches('#')
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))
        .map(str::trim)
        .filter(|token| !token.is_empty())
        .map(str::to_owned)
}

/// What a person pasted to sign in: a token, or the whole link that carries one.
pub fn pasted_token(text: &str) -> String {
    let text = text.trim();
    text.split_once('#')
        .and_then(|(_, fragment)| token(fragment))
        .unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_change_one_key_at_a_time() {
        let filters = Filters::default()
            .toggled("state", "queued")
            .toggled("state", "running");
        assert_eq!(filters.on("/tasks"), "/tasks?state=queued&state=running");
        assert_eq!(
            filters.clone().toggled("state", "queued").on("/tasks"),
            "/tasks?state=running"
        );
        assert_eq!(
            filters.clone().with("state", "finished").on("/tasks"),
            "/tasks?state=finished"
        );
        assert_eq!(filters.clone().with("q", " a b&c ").first("q"), "a b&c");
        assert_eq!(filters.clone().with("state", "").on("/tasks"), "/tasks");
        assert_eq!(
            filters.clone().with("q", "ü").on("/t"),
            "/t?state=queued&state=running&q=%C3%BC"
        );
        assert_eq!(filters.picked(&["q"]).on("/tasks"), "/tasks");
    }

    #[test]
    fn an_address_is_taken_to_another_moment_and_back() {
        let at = "2026-11-20T14:00:00Z";
        let escaped = "at=2026-11-20T14%3A00%3A00Z";
        for (address, there) in [
            ("/jobs", format!("/jobs?{escaped}")),
            ("/jobs?q=a%26b", format!("/jobs?q=a%26b&{escaped}")),
            ("/jobs?tab=spec#x", format!("/jobs?tab=spec&{escaped}#x")),
            ("/jobs?attempt=1", format!("/jobs?attempt=1&{escaped}")),
        ] {
            assert_eq!(at_moment(address, Some(at)), there);
            assert_eq!(at_moment(&there, Some(at)), there, "once is enough");
            assert_eq!(at_moment(&there, None), address);
        }
        assert_eq!(at_moment("/jobs?at&q=x", None), "/jobs?q=x");
        assert_eq!(diff(at), format!("/diff?{escaped}"));
    }

    #[test]
    fn only_what_has_a_past_is_asked_about_it() {
        let asked = |path| asked_at(path, "12");
        assert_eq!(asked("/jobs?q=x"), Some("/jobs?q=x&at=12".to_owned()));
        assert_eq!(asked("/tasks/web.0"), Some("/tasks/web.0?at=12".to_owned()));
        assert_eq!(asked("/fleet"), Some("/fleet?at=12".to_owned()));
        let explain = Some("/tasks/web.0/explain?at=12".to_owned());
        assert_eq!(asked("/tasks/web.0/explain"), explain);
        for path in [
            "",
            "/tasks/web.0/usage",
            "/tasks/web.0/logs",
            "/deploys",
            "/journal",
        ] {
            assert_eq!(asked(path), None, "{path}");
        }
    }

    #[test]
    fn paths_are_escaped() {
        assert_eq!(task("web.0"), "/tasks/web.0");
        assert_eq!(task("../x?y"), "/tasks/..%2Fx%3Fy");
    }

    #[test]
    fn the_token_is_found_in_a_fragment_or_a_pasted_link() {
        assert_eq!(token("#token=abc"), Some("abc".to_owned()));
        assert_eq!(token("#a=1&token=abc"), Some("abc".to_owned()));
        assert_eq!(token("#token="), None);
        assert_eq!(token(""), None);
        assert_eq!(pasted_token(" abc\n"), "abc");
        assert_eq!(pasted_token("http://127.0.0.1:7400/#token=abc"), "abc");
    }
}
