//! What stands behind the `?`: filters, cursors and limits, each checked, and none ignored.

use super::problem::Failure;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use muster_core::view::Page;
use muster_schemas::api::List;
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// So many items are on a page where the request does not say.
pub const DEFAULT_LIMIT: usize = 100;

/// So many items at most are on a page: a task in JSON is below 2 KiB, so a page is below 2 MiB.
pub const MAX_LIMIT: usize = 1000;

/// The longest query, in bytes: some hundred filters.
const MAX_QUERY_BYTES: usize = 8 << 10;

/// The parameters of a request, taken out one by one; [`Query::finish`] then refuses what nobody took.
pub struct Query {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let query = parts.uri.query().unwrap_or_default();
        if query.len() > MAX_QUERY_BYTES {
            return Err(Failure::new(
                StatusCode::URI_TOO_LONG,
                "query-too-long",
                format!("the query has more than {MAX_QUERY_BYTES} bytes"),
                "ask for less at once",
            ));
        }
        let axum::extract::Query(pairs) =
            axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(
                |error| {
                    Failure::bad_request(
                        "bad-query",
                        format!("the query cannot be read: {error}"),
                        "",
                    )
                },
            )?;
        Ok(Self {
            pairs,
            known: Vec::new(),
        })
    }
}

impl Query {
    /// All values of a parameter.
    pub fn all(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let (taken, rest) = std::mem::take(&mut self.pairs)
            .into_iter()
            .partition(|(key, _)| key == name);
        self.pairs = rest;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// The value of a parameter that is given at most once.
    pub fn one(&mut self, name: &'static str) -> Result<Option<String>, Failure> {
        let mut values = self.all(name);
        if values.len() > 1 {
            return Err(bad(name, "it may be given once only"));
        }
        Ok(values.pop())
    }

    /// The value of a parameter, read as a `T`; `expected` says what it should be.
    pub fn read<T: FromStr>(
        &mut self,
        name: &'static str,
        expected: &str,
    ) -> Result<Option<T>, Failure> {
        self.one(name)?
            .map(|text| {
                text.parse()
                    .map_err(|_| bad(name, &format!("`{text}` is not {expected}")))
            })
            .transpose()
    }

    /// All values of a parameter, each one of a type's words, of which `expected` names some or all.
    pub fn words<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        expected: &str,
    ) -> Result<Vec<T>, Failure> {
        self.all(name)
            .into_iter()
            .map(|text| {
                serde_json::from_value(serde_json::Value::String(text.clone()))
                    .map_err(|_| bad(name, &format!("`{text}` is not one of {expected}")))
            })
            .collect()
    }

    /// All values of a parameter that is `true` or `false`.
    pub fn flags(&mut self, name: &'static str) -> Result<Vec<bool>, Failure> {
        self.all(name)
            .into_iter()
            .map(|text| {
                text.parse()
                    .map_err(|_| bad(name, &format!("`{text}` is neither true nor false")))
            })
            .collect()
    }

    /// All labels, each `key=value`.
    pub fn labels(&mut self) -> Result<Vec<(String, String)>, Failure> {
        self.all("label")
            .into_iter()
            .map(|text| match text.split_once('=') {
                Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
                None => Err(bad("label", &format!("`{text}` is not `key=value`"))),
            })
            .collect()
    }

    /// `limit`, from 1 to [`MAX_LIMIT`].
    pub fn limit(&mut self) -> Result<usize, Failure> {
        let limit = self
            .read("limit", "a whole number")?
            .unwrap_or(DEFAULT_LIMIT);
        if (1..=MAX_LIMIT).contains(&limit) {
            Ok(limit)
        } else {
            Err(bad(
                "limit",
                &format!("{limit} is not from 1 to {MAX_LIMIT}"),
            ))
        }
    }

    /// `cursor` and `limit`.
    pub fn page(&mut self) -> Result<Page, Failure> {
        let after = self
            .one("cursor")?
            .map(|cursor| {
                URL_SAFE_NO_PAD
                    .decode(&cursor)
                    .ok()
                    .and_then(|bytes| String::from_utf8(bytes).ok())
                    .ok_or_else(|| bad("cursor", "it is not the `next` of an answer of this list"))
            })
            .transpose()?;
        Ok(Page {
            after,
            limit: self.limit()?,
        })
    }

    /// Refuses parameters that nobody took: a filter that is misspelt must not look as if it matched everything.
    pub fn finish(self) -> Result<(), Failure> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => Err(Failure::bad_request(
                "unknown-parameter",
                format!("there is no parameter `{name}` here"),
                if self.known.is_empty() {
                    "this takes no parameters".to_owned()
                } else {
                    format!("the parameters are {}", self.known.join(", "))
                },
            )),
        }
    }
}

fn bad(name: &str, what: &str) -> Failure {
    Failure::bad_request("bad-parameter", format!("parameter `{name}`: {what}"), "")
}

/// Makes the list's last id into its cursor.
pub fn with_cursor<T>(mut list: List<T>) -> List<T> {
    list.next = list.next.map(cursor);
    list
}

/// A cursor that stands for the item after the one with this id.
pub fn cursor(id: String) -> String {
    URL_SAFE_NO_PAD.encode(id)
}
