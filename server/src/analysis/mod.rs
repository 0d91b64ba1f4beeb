//! What Prometheus says of a canary: one query becomes one number, or the reason why there is none.
//!
//! It judges nothing. What follows from a number, and from there being none, is decided by the core.

use muster_schemas::rollout::{MeasureFault, Measured};
use reqwest::{Client, Url};
use serde_json::Value;
use std::time::Duration;
use thiserror::Error;

/// How long a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// How long one query may take in all. A slower one would be late for the next measurement.
const QUERY_TIME: Duration = Duration::from_secs(10);

/// An answer of one number has some hundred bytes; one of all series of a metric may have millions.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Prometheus' own words are cut to this length: they stand in the journal.
const MAX_WORDS: usize = 300;

/// Why there is no way to Prometheus.
#[derive(Debug, Error)]
pub enum PrometheusError {
    /// The address is none.
    #[error(
        "`{url}` is no address of a Prometheus server; one looks like http://prometheus.example.com:9090"
    )]
    Address {
        /// What was given.
        url: String,
    },
    /// No client can be made.
    #[error("no HTTP client can be made for Prometheus")]
    Client {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

/// The way to a Prometheus server.
#[derive(Debug, Clone)]
pub struct Prometheus {
    client: Client,
    query: Url,
}

impl Prometheus {
    /// The server at `url`; a path in it comes before `/api/v1/query`, and a user and password in it are used.
    ///
    /// # Errors
    ///
    /// An address that is none.
    pub fn new(url: &str) -> Result<Self, PrometheusError> {
        // What stands before the host may be a password.
        let shown = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
        let wrong = || PrometheusError::Address {
            url: shown.to_owned(),
        };
        let mut query = Url::parse(url).map_err(|_| wrong())?;
        if !matches!(query.scheme(), "http" | "https") || query.host_str().is_none() {
            return Err(wrong());
        }
        query
            .path_segments_mut()
            .map_err(|()| wrong())?
            .pop_if_empty()
            .extend(["api", "v1", "query"]);
        // It may have been installed by another room; then it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIME)
            .timeout(QUERY_TIME)
            .build()
            .map_err(|source| PrometheusError::Client { source })?;
        Ok(Self { client, query })
    }

    /// Asks a query, as of now.
    pub async fn measure(&self, query: &str) -> Measured {
        match self.ask(query).await {
            Ok(value) => Measured::Value { value },
            Err(fault) => Measured::Nothing { fault },
        }
    }

    async fn ask(&self, query: &str) -> Result<f64, MeasureFault> {
        let unreachable = |error: reqwest::Error| MeasureFault::Unreachable {
            // Its address may hold a password.
            message: words(&with_causes(&error.without_url())),
        };
        let mut url = self.query.clone();
        url.query_pairs_mut().append_pair("query", query);
        let mut response = self.client.get(url).send().await.map_err(unreachable)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER_BYTES {
                return Err(MeasureFault::NotOneNumber {
                    message: format!("an answer of more than {MAX_ANSWER_BYTES} bytes"),
                });
            }
        }
        let answer: Option<Value> = serde_json::from_slice(&body).ok();
        let said = |message: &str| MeasureFault::Refused {
            message: words(message),
        };
        match answer {
            Some(answer) if answer["status"] == "success" => one_number(&answer["data"]),
            // What it says of a wrong query comes with status 400 or 422.
            Some(Value::Object(answer)) if answer.contains_key("error") => {
                let error = answer["error"].as_str().unwrap_or_default();
                Err(said(error))
            }
            Some(_) | None if status.is_server_error() => Err(MeasureFault::Unreachable {
                message: format!("it answers {status}"),
            }),
            Some(_) | None => Err(said(&format!(
                "it answers {status}, and not as Prometheus does"
            ))),
        }
    }
}

/// The one number of an answer: a scalar, or a vector of one.
fn one_number(data: &Value) -> Result<f64, MeasureFault> {
    let not_one = |message: String| MeasureFault::NotOneNumber { message };
    let sample = match (data["resultType"].as_str(), data["result"].as_array()) {
        (Some("scalar"), Some(sample)) => sample,
        (Some("vector"), Some(series)) => match &series[..] {
            [] => return Err(MeasureFault::NoData),
            [one] => one["value"]
                .as_array()
                .ok_or_else(|| not_one("a series without a value".to_owned()))?,
            many => return Err(not_one(format!("{} series: aggregate them", many.len()))),
        },
        (Some(kind), _) => return Err(not_one(format!("a {}", words(kind)))),
        (None, _) => return Err(not_one("nothing that has a type".to_owned())),
    };
    let text = sample.get(1).and_then(Value::as_str).unwrap_or_default();
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) | Err(_) => Err(not_one(format!("`{}`", words(text)))),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn words(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_WORDS)
        .collect();
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wiremock::matchers::{method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    async fn measured(answer: ResponseTemplate) -> Measured {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path("/prom/api/v1/query"))
            .and(query_param("query", "sum(up{job=\"web\"}) > 0"))
            .respond_with(answer)
            .mount(&server)
            .await;
        let prometheus = Prometheus::new(&format!("{}/prom/", server.uri())).unwrap();
        prometheus.measure("sum(up{job=\"web\"}) > 0").await
    }

    fn vector(result: Value) -> ResponseTemplate {
        let data = json!({"resultType": "vector", "result": result});
        ResponseTemplate::new(200).set_body_json(json!({"status": "success", "data": data}))
    }

    fn fault(measured: Measured) -> MeasureFault {
        match measured {
            Measured::Nothing { fault } => fault,
            Measured::Value { value } => panic!("{value}"),
        }
    }

    #[tokio::test]
    async fn an_answer_is_one_number_or_says_why_not() {
        let one = vector(json!([{"metric": {}, "value": [1.5, "0.25"]}]));
        assert_eq!(measured(one).await, Measured::Value { value: 0.25 });
        let scalar =
            json!({"status": "success", "data": {"resultType": "scalar", "result": [1.5, "7"]}});
        let scalar = ResponseTemplate::new(200).set_body_json(scalar);
        assert_eq!(measured(scalar).await, Measured::Value { value: 7.0 });

        assert_eq!(
            fault(measured(vector(json!([]))).await),
            MeasureFault::NoData
        );
        let two = json!([{"metric": {}, "value": [1, "1"]}, {"metric": {}, "value": [1, "2"]}]);
        for (answer, words) in [
            (vector(two), "2 series"),
            (
                vector(json!([{"metric": {}, "value": [1, "NaN"]}])),
                "`NaN`",
            ),
            (
                vector(json!([{"metric": {}, "value": [1, "+Inf"]}])),
                "`+Inf`",
            ),
            (
                ResponseTemplate::new(200).set_body_json(
                    json!({"status": "success", "data": {"resultType": "matrix", "result": []}}),
                ),
                "a matrix",
            ),
            (
                ResponseTemplate::new(200).set_body_bytes(vec![b' '; MAX_ANSWER_BYTES + 1]),
                "bytes",
            ),
        ] {
            let fault = fault(measured(answer).await);
            assert!(
                matches!(&fault, MeasureFault::NotOneNumber { message } if message.contains(words)),
                "{fault:?}"
            );
        }
        let wrong = json!({"status": "error", "errorType": "bad_data", "error": "parse error"});
        let refused = measured(ResponseTemplate::new(400).set_body_json(wrong)).await;
        let message = "parse error".to_owned();
        assert_eq!(fault(refused), MeasureFault::Refused { message });
        let gone = fault(measured(ResponseTemplate::new(503)).await);
        assert!(matches!(gone, MeasureFault::Unreachable { .. }), "{gone:?}");
        // Another server's page.
        let page = ResponseTemplate::new(200).set_body_string("<html>");
        assert!(matches!(
            fault(measured(page).await),
            MeasureFault::Refused { .. }
        ));
    }

    #[tokio::test]
    async fn nobody_answering_is_told_without_the_password() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let prometheus = Prometheus::new(&format!("http://ann:secret@{address}")).unwrap();
        let fault = fault(prometheus.measure("up").await);
        let MeasureFault::Unreachable { message } = fault else {
            panic!("{fault:?}")
        };
        assert!(!message.contains("secret"), "{message}");
        for wrong in ["prometheus:9090", "", "ftp://prometheus"] {
            assert!(Prometheus::new(wrong).is_err(), "{wrong}");
        }
        let wrong = Prometheus::new("htp://ann:secret@prometheus").err();
        let said = wrong.expect("it is none").to_string();
        assert!(
            said.contains("`prometheus`") && !said.contains("secret"),
            "{said}"
        );
    }
}
