//! Probes: live, ready and started are three questions, each answered by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::State;
use axum::response::Response;
use futures::future::join_all;
use http::StatusCode;
use serde::Serialize;

use crate::http::extract::json_with;
use crate::state::Api;

const PATIENCE: Duration = Duration::from_secs(2);

/// What a probe answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    /// Must the process be restarted? Only for what a restart would heal, such as a loop that
    /// stands still; never for what is away outside.
    Live,
    /// Can it serve requests now?
    Ready,
    /// Has it finished starting?
    Startup,
}

/// A part that can say whether it is well.
#[async_trait]
pub trait Probe: Send + Sync + 'static {
    /// The part's name, such as `executor:local`.
    fn name(&self) -> &str;

    /// Which questions it has a say in.
    fn questions(&self) -> &[Question];

    /// Whether it is well. It is asked by anybody, so the answer tells no secrets.
    ///
    /// # Errors
    /// What is wrong, in a few words.
    async fn check(&self) -> Result<(), String>;
}

/// Starting is over once; later troubles are no return to it.
#[derive(Debug, Default)]
pub(crate) struct Startup(AtomicBool);

wire! {
    /// How the parts are.
    #[derive(Serialize)]
    #[example({"status": "failing", "failing": ["store"], "components": [
        {"name": "store", "ok": false, "detail": "does not answer"}]})]
    pub struct Health {
        /// `ok` or `failing`.
        pub status: String,
        /// The parts that are not well.
        pub failing: Vec<String>,
        /// Every part that was asked.
        pub components: Vec<Component>,
    }

    /// How one part is.
    #[derive(Serialize)]
    pub struct Component {
        /// Its name.
        pub name: String,
        /// Whether it is well.
        pub ok: bool,
        /// What is wrong.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub detail: Option<String>,
    }
}

/// Whether the process must be restarted.
pub(crate) async fn live(State(api): State<Api>) -> Response {
    answer(ask(&api, Question::Live).await)
}

/// Whether requests can be served now.
pub(crate) async fn ready(State(api): State<Api>) -> Response {
    let (mut components, store) = tokio::join!(ask(&api, Question::Ready), store(&api));
    components.insert(0, store);
    if api.supervisor.shutdown().is_draining() {
        let detail = Some("the process is shutting down".to_owned());
        components.push(Component { name: "server".to_owned(), ok: false, detail });
    }
    answer(components)
}

/// Whether starting is over.
pub(crate) async fn startup(State(api): State<Api>) -> Response {
    if api.startup.0.load(Ordering::SeqCst) {
        return answer(Vec::new());
    }
    let (mut components, store) = tokio::join!(ask(&api, Question::Startup), store(&api));
    components.insert(0, store);
    if components.iter().all(|component| component.ok) {
        api.startup.0.store(true, Ordering::SeqCst);
    }
    answer(components)
}

async fn ask(api: &Api, question: Question) -> Vec<Component> {
    let asked = api.probes.iter().filter(|probe| probe.questions().contains(&question));
    join_all(asked.map(|probe| check(Arc::clone(probe)))).await
}

async fn check(probe: Arc<dyn Probe>) -> Component {
    let outcome = match tokio::time::timeout(PATIENCE, probe.check()).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    Component { name: probe.name().to_owned(), ok: outcome.is_ok(), detail: outcome.err() }
}

async fn store(api: &Api) -> Component {
    let store = api.pilot.store();
    let detail = match tokio::time::timeout(PATIENCE, store.ping()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            tracing::warn!(%error, "store probe failed");
            Some("does not answer".to_owned())
        }
        Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    Component { name: "store".to_owned(), ok: detail.is_none(), detail }
}

fn answer(components: Vec<Component>) -> Response {
    let failing: Vec<String> =
        components.iter().filter(|c| !c.ok).map(|component| component.name.clone()).collect();
    let ok = failing.is_empty();
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if ok { "ok" } else { "failing" };
    json_with(status, &Health { status: word.to_owned(), failing, components })
}
