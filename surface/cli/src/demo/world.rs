//! What the demo asks of the product, all of it through the public API.

use std::time::Duration;

use anyhow::Context;
use oag_types::Timestamp;
use serde_json::{Value, json};

use super::sizes::{Policy, Sizes};
use crate::api::{Api, Query};
use crate::exit::{Exit, Trouble};
use crate::value::Read;

/// The group of the demo's services.
pub(super) const GROUP: &str = "demo";

/// How often a service that a plan is at work on is tried to be deleted, and the pause between.
const DELETE_TRIES: u32 = 160;
const DELETE_PAUSE: Duration = Duration::from_millis(250);

/// The parts of the client that the demo uses, so that it can be tried without a server.
pub(super) trait Server {
    async fn get(&self, path: &[&str], query: Query<'_>) -> anyhow::Result<Value>;
    async fn post(&self, path: &[&str], body: &Value) -> anyhow::Result<Value>;
    async fn put(&self, path: &[&str], body: &Value, base: Option<u64>) -> anyhow::Result<Value>;
    async fn delete(&self, path: &[&str]) -> anyhow::Result<()>;
}

impl Server for Api {
    async fn get(&self, path: &[&str], query: Query<'_>) -> anyhow::Result<Value> {
        Self::get(self, path, query).await
    }

    async fn post(&self, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        Self::post(self, path, body).await
    }

    async fn put(&self, path: &[&str], body: &Value, base: Option<u64>) -> anyhow::Result<Value> {
        Self::put(self, path, body, base).await
    }

    async fn delete(&self, path: &[&str]) -> anyhow::Result<()> {
        Self::delete(self, path).await
    }
}

/// The state of a service, as far as the demo looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Replicas {
    pub(super) wanted: u32,
    pub(super) ready: u32,
}

/// The names of all services, and whether each is the demo's own.
pub(super) async fn services(server: &impl Server) -> anyhow::Result<Vec<(String, bool)>> {
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let mut query = vec![("page_size", "500".to_owned())];
        if !token.is_empty() {
            query.push(("page_token", token));
        }
        let page = server.get(&["api", "v1", "services"], &query).await?;
        for item in page.list("/items") {
            let name = item.str("/name");
            let own = Policy::ALL.iter().any(|policy| policy.service() == name);
            found.push((name.to_owned(), own && item.str("/group") == GROUP));
        }
        token = page.text("/next_page_token");
        if token.is_empty() {
            return Ok(found);
        }
    }
}

/// Takes the demo's services out, those that are there; what they ran is stopped.
pub(super) async fn remove(server: &impl Server) -> anyhow::Result<usize> {
    let own: Vec<String> =
        services(server).await?.into_iter().filter(|(_, own)| *own).map(|(name, _)| name).collect();
    for name in &own {
        let mut tries = 1;
        while let Err(error) = server.delete(&["api", "v1", "services", name]).await {
            // The last plan of the loop may still be at work on it.
            let busy = error.downcast_ref::<Trouble>().is_some_and(|t| t.exit() == Exit::Conflict);
            if !busy || tries >= DELETE_TRIES {
                return Err(error);
            }
            tries += 1;
            tokio::time::sleep(DELETE_PAUSE).await;
        }
    }
    Ok(own.len())
}

/// Puts the services into the catalogue; their replicas start.
pub(super) async fn create(
    server: &impl Server,
    sizes: &Sizes,
    program: &str,
    step_ms: i64,
) -> anyhow::Result<()> {
    for policy in Policy::ALL {
        let entry = sizes.service(policy, program, step_ms);
        server.put(&["api", "v1", "services", policy.service()], &entry, None).await?;
    }
    Ok(())
}

/// Waits until every replica is ready, and gives the addresses of the balancers.
pub(super) async fn addresses(
    server: &impl Server,
    patience: Duration,
) -> anyhow::Result<Vec<(Policy, String)>> {
    let mut found = Vec::new();
    let pause = Duration::from_millis(200);
    let mut waited = Duration::ZERO;
    for policy in Policy::ALL {
        loop {
            let seen = observed(server, policy).await?;
            let now = replicas(&seen);
            let address = seen.str("/fields/listen_address");
            if now.wanted > 0 && now.ready == now.wanted && !address.is_empty() {
                found.push((policy, address.to_owned()));
                break;
            }
            if waited >= patience {
                let (name, why) = (policy.service(), seen.text("/fields/unhealthy"));
                let text = format!("{name} has {} of {} replicas ready", now.ready, now.wanted);
                let trouble = Trouble::new(Exit::Unavailable, text);
                return Err(if why.is_empty() { trouble } else { trouble.line(why) }.into());
            }
            tokio::time::sleep(pause).await;
            waited += pause;
        }
    }
    Ok(found)
}

async fn observed(server: &impl Server, policy: Policy) -> anyhow::Result<Value> {
    server.get(&["api", "v1", "services", policy.service(), "observed"], &[]).await
}

fn replicas(seen: &Value) -> Replicas {
    let whole = |pointer: &str| seen.at(pointer).as_u64().unwrap_or(0) as u32;
    Replicas { wanted: whole("/fields/replicas"), ready: whole("/fields/ready_replicas") }
}

/// The replicas of a policy's service.
pub(super) async fn look(server: &impl Server, policy: Policy) -> anyhow::Result<Replicas> {
    Ok(replicas(&observed(server, policy).await?))
}

/// Gives the loop's service its past; the value of a step is stamped with its end.
pub(super) async fn teach(
    server: &impl Server,
    history: &[f64],
    end: Timestamp,
    step_ms: i64,
) -> anyhow::Result<()> {
    let steps = history.len() as i64;
    let sample = |(at, rate): (usize, &f64)| {
        let moment = end.plus_millis((at as i64 + 1 - steps) * step_ms);
        json!({"at": moment, "value": rate})
    };
    let body = json!({
        "name": "request_rate",
        "labels": {"service": Policy::Loop.service()},
        "samples": history.iter().enumerate().map(sample).collect::<Vec<_>>(),
    });
    // The product's loop must have seen the new service before its forecaster can be taught.
    for _ in 0..20 {
        let done = server.post(&["api", "v1", "signals", "backfill"], &body).await?;
        if done.at("/taught").as_bool() == Some(true) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Err(Trouble::new(Exit::Failed, "the forecaster was not taught the days before the window")
        .line("the product's loop does not look at the new service; is it busy?")
        .into())
}

/// What the loop expects of the next steps.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Expected {
    /// The end of the step that the forecast goes on from.
    pub(super) after: Timestamp,
    pub(super) mean: Vec<f64>,
    pub(super) low: Vec<f64>,
    pub(super) high: Vec<f64>,
}

/// The present forecast of the loop's service; none before there is one.
pub(super) async fn forecast(server: &impl Server) -> anyhow::Result<Option<Expected>> {
    let path = ["api", "v1", "services", Policy::Loop.service(), "load"];
    let load = server.get(&path, &[("steps", "2".to_owned())]).await?;
    let numbers = |pointer: &str| -> Vec<f64> {
        load.list(pointer).iter().filter_map(Value::as_f64).collect()
    };
    let mean = numbers("/forecast");
    if mean.is_empty() {
        return Ok(None);
    }
    let after = load.time("/last_step_at").context("a forecast without a moment")?;
    let (low, high) = (numbers("/forecast_low"), numbers("/forecast_high"));
    Ok(Some(Expected { after, mean, low, high }))
}

/// Sets replicas by a plan, as any person would.
pub(super) async fn scale(
    server: &impl Server,
    policy: Policy,
    replicas: u32,
    reason: &str,
) -> anyhow::Result<()> {
    let wish = json!({
        "reason": reason,
        "actions": [{
            "kind": "scale", "service": policy.service(), "params": {"replicas": replicas},
        }],
    });
    let plan = server.post(&["api", "v1", "plans"], &wish).await?;
    let digest = json!({"digest": plan.str("/digest")});
    server.post(&["api", "v1", "plans", plan.str("/id"), "apply"], &digest).await?;
    Ok(())
}

/// The plans about a policy's service that were made since a moment, oldest first.
pub(super) async fn plans(
    server: &impl Server,
    policy: Policy,
    since: Timestamp,
) -> anyhow::Result<Vec<Value>> {
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let mut query =
            vec![("service", policy.service().to_owned()), ("page_size", "200".to_owned())];
        if !token.is_empty() {
            query.push(("page_token", token));
        }
        let page = server.get(&["api", "v1", "plans"], &query).await?;
        let made = |plan: &Value| plan.time("/plan/created_at");
        let items = page.list("/items");
        let older = items.iter().any(|plan| made(plan).is_some_and(|at| at < since));
        found.extend(items.iter().filter(|p| made(p).is_some_and(|at| at >= since)).cloned());
        token = page.text("/next_page_token");
        if token.is_empty() || older {
            break;
        }
    }
    found.reverse();
    Ok(found)
}

/// The newest plan of the loop, among the last few of everybody.
pub(super) async fn newest_plan(server: &impl Server) -> anyhow::Result<Option<Value>> {
    let query = [("service", Policy::Loop.service().to_owned()), ("page_size", "20".to_owned())];
    let page = server.get(&["api", "v1", "plans"], &query).await?;
    Ok(page.list("/items").first().cloned())
}

/// The kinds of the ledger's rows about something, by index.
pub(super) async fn ledger_rows(
    server: &impl Server,
    subject: &str,
) -> anyhow::Result<Vec<(u64, String)>> {
    let query = [("subject", subject.to_owned()), ("page_size", "100".to_owned())];
    let rows = server.get(&["api", "v1", "ledger", "rows"], &query).await?;
    let row = |row: &Value| (row.at("/index").as_u64().unwrap_or(0), row.text("/kind"));
    Ok(rows.list("/items").iter().map(row).collect())
}

/// The mean of a series of a service between two moments.
pub(super) async fn mean_of(
    server: &impl Server,
    policy: Policy,
    metric: &str,
    from: Timestamp,
    to: Timestamp,
) -> anyhow::Result<Option<f64>> {
    let query = [
        ("name", metric.to_owned()),
        ("labels", format!("service={}", policy.service())),
        ("from", from.as_millis().to_string()),
        ("to", to.as_millis().to_string()),
    ];
    let window = server.get(&["api", "v1", "series", "window"], &query).await?;
    let values: Vec<f64> =
        window.list("/samples").iter().filter_map(|sample| sample.at("/value").as_f64()).collect();
    Ok((!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64))
}
