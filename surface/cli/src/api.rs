//! Speaking to the server, and making its refusals readable.

use std::error::Error as _;
use std::fs;
use std::time::Duration;

use oag_runtime::{IdSource, RandomIds};
use oag_types::{Code, ErrorKind};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH, USER_AGENT};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use crate::args::{Connection, Secret};
use crate::connect::{self, Place};
use crate::exit::{Exit, Trouble, page_of};

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(60);
/// A watch says something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// Query parameters.
pub(crate) type Query<'a> = &'a [(&'a str, String)];

/// A server.
#[derive(Debug)]
pub(crate) struct Api {
    http: Client,
    url: Url,
    key: Option<Secret>,
    key_from: String,
}

/// An error as the server sends it.
#[derive(Debug, Deserialize)]
struct ProblemDocument {
    code: String,
    detail: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    request_id: String,
    #[serde(default)]
    errors: Vec<FieldError>,
}

#[derive(Debug, Deserialize)]
struct FieldError {
    field: String,
    message: String,
}

impl Api {
    /// Prepares to speak to the server; nothing is sent yet.
    pub(crate) fn new(connection: &Connection) -> anyhow::Result<Self> {
        let Place { url, key, key_from } = connect::place(connection)?;
        // Redirects would carry the key elsewhere.
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE);
        if connect::is_loopback(&url) {
            builder = builder.no_proxy();
        }
        if let Some(file) = &connection.ca {
            let wrong = |why: String| {
                Trouble::usage(format!("the certificates in {}: {why}", file.display()))
            };
            let pem = fs::read(file).map_err(|error| wrong(error.to_string()))?;
            let found =
                Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
            builder = builder.tls_certs_only(found);
        } else if url.scheme() == "http" {
            // Without TLS the certificates of the machine need not be there, nor be read.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| {
            Trouble::usage(format!("TLS cannot be set up: {}", root_of(&error)))
        })?;
        Ok(Self { http, url, key, key_from })
    }

    /// The address.
    pub(crate) fn address(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    pub(crate) async fn get(&self, path: &[&str], query: Query<'_>) -> anyhow::Result<Value> {
        self.json(self.request(Method::GET, path, query)).await
    }

    /// A text that is not JSON for us.
    pub(crate) async fn get_text(&self, path: &[&str]) -> anyhow::Result<String> {
        let response = self.send(self.request(Method::GET, path, &[]).timeout(ANSWER)).await?;
        response.text().await.map_err(|error| self.unreachable(&error).into())
    }

    /// What a probe says, whether it is well or not.
    pub(crate) async fn probe(&self, path: &[&str]) -> anyhow::Result<Value> {
        let request = self.request(Method::GET, path, &[]).timeout(ANSWER);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        match response.status() {
            StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => self.read(response).await,
            _ => Err(self.refused(response).await),
        }
    }

    pub(crate) async fn post(&self, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        self.post_with(path, &[], body).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &[&str],
        query: Query<'_>,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let request = self.request(Method::POST, path, query);
        self.json(request.header("idempotency-key", fresh_key()).json(body)).await
    }

    pub(crate) async fn post_lines(&self, path: &[&str], body: String) -> anyhow::Result<Value> {
        let request = self.request(Method::POST, path, &[]);
        let request = request.header("idempotency-key", fresh_key());
        self.json(request.header(CONTENT_TYPE, "application/x-ndjson").body(body)).await
    }

    pub(crate) async fn put(
        &self,
        path: &[&str],
        body: &Value,
        revision: Option<u64>,
    ) -> anyhow::Result<Value> {
        let mut request = self.request(Method::PUT, path, &[]).json(body);
        if let Some(revision) = revision {
            request = request.header(IF_MATCH, format!("\"{revision}\""));
        }
        self.json(request).await
    }

    pub(crate) async fn delete(&self, path: &[&str]) -> anyhow::Result<()> {
        self.send(self.request(Method::DELETE, path, &[]).timeout(ANSWER)).await.map(|_| ())
    }

    /// Opens a stream of events.
    pub(crate) async fn events(
        &self,
        path: &[&str],
        from: Option<u64>,
    ) -> anyhow::Result<Response> {
        let mut query = vec![("watch", "true".to_owned())];
        query.extend(from.map(|from| ("from_revision", from.to_string())));
        let request = self.request(Method::GET, path, &query);
        self.send(request.header(ACCEPT, "text/event-stream")).await
    }

    /// The error of an answer or a stream that broke off.
    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> Trouble {
        let address = self.address();
        let root = root_of(error);
        if error.is_timeout() {
            return Trouble::new(Exit::Unavailable, format!("{address} does not answer in time"))
                .hint("it may be busy: `openautoglm status` shows how it is");
        }
        if error.is_connect() && self.url.scheme() == "https" {
            return Trouble::new(Exit::Unavailable, format!("no connection to {address}: {root}"))
                .hint("for a certificate of your own authority name it with --ca FILE");
        }
        if error.is_connect() {
            return Trouble::new(Exit::Unavailable, format!("no server answers at {address}"))
                .line(root)
                .hint("start it with `make run` or `openautoglm up`, or name another with --url");
        }
        Trouble::new(Exit::Unavailable, format!("the connection to {address} broke off: {root}"))
            .hint("look at what the command was to change before you send it again")
    }

    fn request(&self, method: Method, path: &[&str], query: Query<'_>) -> RequestBuilder {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let agent = concat!("openautoglm/", env!("CARGO_PKG_VERSION"));
        let request = self.http.request(method, url).header(USER_AGENT, agent);
        match &self.key {
            Some(key) => request.header(AUTHORIZATION, format!("Bearer {}", key.expose())),
            None => request,
        }
    }

    async fn json(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let response = self.send(request.timeout(ANSWER)).await?;
        self.read(response).await
    }

    async fn read(&self, response: Response) -> anyhow::Result<Value> {
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&bytes)
            .map_err(|_| self.stranger("an answer that is no JSON").into())
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    async fn refused(&self, response: Response) -> anyhow::Error {
        let status = response.status();
        let body = response.bytes().await.unwrap_or_default();
        match serde_json::from_slice::<ProblemDocument>(&body) {
            Ok(problem) => self.trouble(status, problem).into(),
            Err(_) => self.stranger(&format!("status {status}")).into(),
        }
    }

    fn stranger(&self, what: &str) -> Trouble {
        let text = format!("{} is not a server of this API: {what}", self.address());
        Trouble::new(Exit::Unavailable, text).hint("is the address right? Name it with --url")
    }

    fn trouble(&self, status: StatusCode, problem: ProblemDocument) -> Trouble {
        let known = Code::ALL.iter().find(|code| code.to_string() == problem.code);
        let exit = known.map_or_else(|| exit_of(status), |code| Exit::of(code.kind));
        let kind = known.map(|code| code.kind);
        let title = if problem.title.is_empty() { status.to_string() } else { problem.title };
        let mut trouble = Trouble::new(exit, format!("{title} ({})", problem.code));
        if problem.errors.is_empty() {
            trouble = trouble.line(problem.detail);
        }
        for FieldError { field, message } in problem.errors {
            trouble = trouble.line(format!("{field}: {message}"));
        }
        if exit == Exit::Failed && kind == Some(ErrorKind::Internal) {
            trouble = trouble.line(format!("request {}", problem.request_id));
        }
        let page = page_of(&problem.code);
        match self.advice(&problem.code, kind) {
            Some(advice) => trouble.line(page).hint(advice),
            None => trouble.hint(page),
        }
    }

    fn advice(&self, code: &str, kind: Option<ErrorKind>) -> Option<String> {
        Some(match (kind?, code) {
            (ErrorKind::Unauthenticated, _) if self.key.is_none() && !self.key_from.is_empty() => {
                format!("{}; run as its owner, or give a key with --api-key", self.key_from)
            }
            (ErrorKind::Unauthenticated, _) if self.key.is_none() => {
                "give a key with --api-key or OPENAUTOGLM_API_KEY, or name the data directory of \
                 a server on this machine with --data"
                    .to_owned()
            }
            (ErrorKind::Unauthenticated, _) => {
                format!("the key came from {}: is it of this server?", self.key_from)
            }
            (ErrorKind::Denied, "OAG-1201") => {
                "`openautoglm whoami` shows what this key may do".to_owned()
            }
            (ErrorKind::Denied, "OAG-1203") => {
                "`openautoglm kill-switch status` shows who switched it on and why".to_owned()
            }
            (ErrorKind::Denied, "OAG-1204") => {
                "another person must approve it with their own key".to_owned()
            }
            (ErrorKind::Stale, _) => "read it again, then change what you read".to_owned(),
            (ErrorKind::Conflict, "OAG-1404" | "OAG-1405") => {
                "read the plan again with `openautoglm describe plan`".to_owned()
            }
            (ErrorKind::Exhausted | ErrorKind::Unavailable, _) => {
                "try again in a moment; `openautoglm status` shows how the server is".to_owned()
            }
            _ => return None,
        })
    }
}

/// The same request sent twice by a proxy takes effect once.
fn fresh_key() -> String {
    format!("cli-{}", RandomIds.uuid().simple())
}

const fn exit_of(status: StatusCode) -> Exit {
    match status.as_u16() {
        400 | 401 | 413 | 415 => Exit::Usage,
        404 | 410 => Exit::NotFound,
        409 | 412 | 428 => Exit::Conflict,
        429 | 502..=504 => Exit::Unavailable,
        _ => Exit::Failed,
    }
}

fn root_of(error: &reqwest::Error) -> String {
    let mut root: &dyn std::error::Error = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    if error.source().is_none() { error.to_string() } else { root.to_string() }
}
