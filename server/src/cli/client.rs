//! A client of the public API. It knows how to ask and how to tell what went wrong; what is asked is the commands' matter.

use jiff::Timestamp;
use muster_schemas::api::{List, Problem};
use muster_schemas::past::Moment;
use reqwest::{Method, Url, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// A control plane on another continent connects in less; longer waits only hide a wrong address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The slowest query is a page of a thousand; ten times what a busy control plane takes for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// What the API gives at most on one page.
const MAX_PAGE: usize = 1000;

/// Why an answer did not come.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing answers.
    #[error("no control plane answers at {url}: {cause}")]
    Unreachable {
        /// The address.
        url: String,
        /// The innermost cause.
        cause: String,
    },
    /// The API says no.
    #[error("{}", .0.message)]
    Refused(Problem),
    /// Something answers, but not as the API does.
    #[error("{url} does not answer as Muster's API does: {what}")]
    NotOurs {
        /// The address that was asked.
        url: String,
        /// What is wrong.
        what: String,
    },
}

impl ClientError {
    /// What to do about it; may be empty.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreachable { .. } => {
                "Start one with `make up`, or point --url (MUSTER_URL) at one that runs.".to_owned()
            }
            Self::Refused(problem) => problem.hint.clone(),
            Self::NotOurs { .. } => {
                "Is --url (MUSTER_URL) right, and do client and control plane have the same version?"
                    .to_owned()
            }
        }
    }

    /// The exit code that it leads to.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Unreachable { .. } | Self::NotOurs { .. } => 2,
        }
    }
}

/// A query's parameters.
pub type Query = Vec<(&'static str, String)>;

/// The pages of a list, put together.
#[derive(Debug)]
pub struct Listed {
    /// The items as the API gives them.
    pub items: Vec<Value>,
    /// So many match in all, as far as the API counts them.
    pub total: u64,
    /// Whether there are more than these.
    pub more: bool,
}

impl Listed {
    /// The items as the vocabulary's type.
    pub fn typed<T: DeserializeOwned>(&self) -> anyhow::Result<Vec<T>> {
        let read = |item: &Value| T::deserialize(item);
        Ok(self.items.iter().map(read).collect::<Result<_, _>>()?)
    }
}

/// A client of one control plane. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
    /// The moment that is asked about, and its time; none for now.
    past: Option<(Moment, Timestamp)>,
}

impl Client {
    /// A client of the control plane at `url`. Fails where that is no http(s) address.
    pub fn new(url: &str, token: Option<String>) -> anyhow::Result<Self> {
        let no = |why: String| {
            crate::cli::failure::Failure::untried(
                format!("`{url}` is not an address of a control plane: {why}"),
                "One looks like http://127.0.0.1:7400.",
            )
        };
        let base = Url::parse(url).map_err(|error| no(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(no("it begins with neither http:// nor https://".to_owned()).into());
        }
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&base) {
            // A proxy cannot reach this machine's own addresses.
            http = http.no_proxy();
        }
        Ok(Self {
            http: http.build()?,
            base,
            token,
            past: None,
        })
    }

    /// The same, with all that it reads being as it was at `moment`, whose time is `at`.
    #[must_use]
    pub fn at(mut self, moment: Moment, at: Timestamp) -> Self {
        self.past = Some((moment, at));
        self
    }

    /// The time that ages count from: that of the moment which is asked about.
    pub fn now(&self) -> Timestamp {
        self.past.map_or_else(Timestamp::now, |(_, at)| at)
    }

    /// The address, without a slash at its end.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    fn address(&self, path: &[&str], query: &Query) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, ClientError> {
        let answer = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (status, url) = (answer.status(), answer.url().to_string());
        let body = answer
            .bytes()
            .await
            .map_err(|error| self.unreachable(&error))?;
        match serde_json::from_slice(&body) {
            Ok(problem) => Err(ClientError::Refused(problem)),
            Err(_) => Err(ClientError::NotOurs {
                url,
                what: format!("its status is {status}"),
            }),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let cause = if error.is_timeout() {
            "it takes too long".to_owned()
        } else {
            // The system's number for it says nothing to people.
            let text = cause.to_string();
            text.split(" (os error")
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        ClientError::Unreachable {
            url: self.url().to_owned(),
            cause,
        }
    }

    async fn read<T: DeserializeOwned>(&self, answer: reqwest::Response) -> Result<T, ClientError> {
        let url = answer.url().to_string();
        let body = answer
            .bytes()
            .await
            .map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&body).map_err(|error| ClientError::NotOurs {
            url,
            what: error.to_string(),
        })
    }

    /// `GET /api/v1/{path}`.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &Query,
    ) -> Result<T, ClientError> {
        let mut query = query.clone();
        query.extend(self.past.map(|(moment, _)| ("at", moment.to_string())));
        let url = self.address(&api(path), &query);
        let request = self.request(Method::GET, url).timeout(ANSWER_TIMEOUT);
        self.read(self.send(request).await?).await
    }

    /// `POST /api/v1/{path}` with a JSON body.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
        timeout: Option<Duration>,
    ) -> Result<T, ClientError> {
        self.post_with(path, &Query::new(), body, timeout).await
    }

    /// As [`Self::post`], with a query.
    pub async fn post_with<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &Query,
        body: &impl Serialize,
        timeout: Option<Duration>,
    ) -> Result<T, ClientError> {
        let url = self.address(&api(path), query);
        let request = self
            .request(Method::POST, url)
            .timeout(timeout.unwrap_or(ANSWER_TIMEOUT))
            .json(body);
        self.read(self.send(request).await?).await
    }

    /// `DELETE /api/v1/{path}`, which answers nothing.
    pub async fn delete(&self, path: &[&str]) -> Result<(), ClientError> {
        let url = self.address(&api(path), &Query::new());
        let request = self.request(Method::DELETE, url).timeout(ANSWER_TIMEOUT);
        self.send(request).await.map(drop)
    }

    /// The first `limit` items of a list, over as many pages as it takes.
    pub async fn list(
        &self,
        path: &[&str],
        query: &Query,
        limit: usize,
    ) -> Result<Listed, ClientError> {
        let mut listed = Listed {
            items: Vec::new(),
            total: 0,
            more: false,
        };
        let mut cursor: Option<String> = None;
        while listed.items.len() < limit {
            let mut query = query.clone();
            let page_size = (limit - listed.items.len()).min(MAX_PAGE);
            query.push(("limit", page_size.to_string()));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let page: List<Value> = self.get(path, &query).await?;
            listed.total = page.total;
            // A page without items and with a cursor would go on for ever.
            let next = page.next.filter(|_| !page.items.is_empty());
            listed.items.extend(page.items);
            listed.more = next.is_some() || listed.items.len() > limit;
            match next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        listed.items.truncate(limit);
        Ok(listed)
    }

    /// `GET /api/v1/{path}` as a stream of server-sent events. It has no time limit of its own.
    pub async fn stream(
        &self,
        path: &[&str],
        query: &Query,
    ) -> Result<reqwest::Response, ClientError> {
        let url = self.address(&api(path), query);
        let request = self
            .request(Method::GET, url)
            .header(header::ACCEPT, "text/event-stream");
        self.send(request).await
    }

    /// Why the control plane is frozen, if `/readyz` says within the time that it is.
    pub async fn why_frozen(&self, within: Duration) -> Option<String> {
        let url = self.address(&["readyz"], &Query::new());
        let answer = self.http.get(url).timeout(within).send().await.ok()?;
        let problem: Problem = serde_json::from_str(&answer.text().await.ok()?).ok()?;
        (problem.code == "journal-damaged").then_some(problem.message)
    }

    /// Whether `/readyz` says yes within the time.
    pub async fn is_ready(&self, within: Duration) -> bool {
        let url = self.address(&["readyz"], &Query::new());
        let request = self.http.get(url).timeout(within);
        request
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
    }
}

fn api<'a>(path: &[&'a str]) -> Vec<&'a str> {
    let mut whole = vec!["api", "v1"];
    whole.extend(path);
    whole
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wiremock::matchers::{header, method, path, query_param, query_param_is_missing};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    fn client(server: &MockServer) -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::new(&server.uri(), Some("secret".to_owned())).unwrap()
    }

    #[tokio::test]
    async fn pages_are_followed_up_to_the_limit() {
        let server = MockServer::start().await;
        let page = |items: Value, next: Value| {
            ResponseTemplate::new(200)
                .set_body_json(json!({"items": items, "next": next, "total": 5}))
        };
        Mock::given(method("GET"))
            .and(path("/api/v1/tasks"))
            .and(header("authorization", "Bearer secret"))
            .and(query_param("job", "a b"))
            .and(query_param_is_missing("cursor"))
            .respond_with(page(json!([1, 2]), json!("c/1")))
            .mount(&server)
            .await;
        Mock::given(path("/api/v1/tasks"))
            .and(query_param("cursor", "c/1"))
            .respond_with(page(json!([3, 4]), json!("c/2")))
            .mount(&server)
            .await;
        let query = vec![("job", "a b".to_owned())];
        let listed = client(&server).list(&["tasks"], &query, 3).await.unwrap();
        assert_eq!(listed.typed::<u32>().unwrap(), [1, 2, 3]);
        assert_eq!((listed.total, listed.more), (5, true));
    }

    #[tokio::test]
    async fn a_name_cannot_leave_its_place_in_the_path() {
        let server = MockServer::start().await;
        let url = client(&server).address(&["jobs", "a/../b?c#d"], &Query::new());
        assert_eq!(url.path(), "/jobs/a%2F..%2Fb%3Fc%23d");
        assert_eq!((url.query(), url.fragment()), (None, None));
    }

    #[tokio::test]
    async fn a_no_is_told_with_its_hint() {
        let server = MockServer::start().await;
        let problem =
            json!({"code": "not-found", "message": "there is no job `x`", "hint": "look again"});
        Mock::given(path("/api/v1/jobs/x"))
            .respond_with(ResponseTemplate::new(404).set_body_json(problem))
            .mount(&server)
            .await;
        let client = client(&server);
        let error = client
            .get::<Value>(&["jobs", "x"], &Query::new())
            .await
            .unwrap_err();
        assert_eq!(
            (error.to_string(), error.hint(), error.exit_code()),
            ("there is no job `x`".to_owned(), "look again".to_owned(), 1)
        );
        let error = client
            .get::<Value>(&["other"], &Query::new())
            .await
            .unwrap_err();
        assert!(matches!(error, ClientError::NotOurs { .. }), "{error}");
    }

    #[tokio::test]
    async fn nothing_there_says_which_address_and_what_to_do() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let url = format!("http://127.0.0.1:{port}");
        let client = Client::new(&url, None).unwrap();
        let error = client
            .get::<Value>(&["fleet"], &Query::new())
            .await
            .unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(&url), "{error}");
        assert!(error.to_string().contains("refused"), "{error}");
        assert!(error.hint().contains("make up"));
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        for url in ["", "localhost:7400", "ftp://x", "/tmp/x"] {
            let error = Client::new(url, None).unwrap_err().to_string();
            assert!(error.contains("not an address"), "{error}");
        }
    }
}
