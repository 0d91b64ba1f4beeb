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
    pub fn only(&self, keys: &[&str]) -> Self {
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
        assert_eq!(filters.only(&["q"]).on("/tasks"), "/tasks");
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
