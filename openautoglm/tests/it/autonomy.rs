//! The loop on a small service under load: first it only proposes, then it acts, then it is
//! stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oag_testkit::client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::world::{Home, Site};

/// Sends requests at an even rate, whatever becomes of them, until it is dropped.
struct Load {
    per_second: Arc<AtomicU64>,
    _running: JoinSet<()>,
}

impl Load {
    fn of(url: String, per_second: u64) -> Self {
        let per_second = Arc::new(AtomicU64::new(per_second));
        let rate = Arc::clone(&per_second);
        let client = client().unwrap();
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut under_way = JoinSet::new();
            loop {
                let rate = rate.load(Ordering::Relaxed).max(1);
                tokio::time::sleep(Duration::from_micros(1_000_000 / rate)).await;
                let request = client.get(&url);
                under_way.spawn(async move { request.send().await.map(|_| ()) });
                while under_way.try_join_next().is_some() {}
            }
        });
        Self { per_second, _running: running }
    }

    fn set(&self, per_second: u64) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }
}

/// The first plan of the loop that stands at one of these phases.
async fn plan_of_the_loop(site: &Site, phase: &str) -> Value {
    let path = format!("/api/v1/plans?service=shop&phase={phase}&page_size=100");
    let ours = |plans: &Value| {
        let plans = plans["items"].as_array().unwrap();
        plans.iter().find(|plan| plan["plan"]["origin"] == "loop").cloned()
    };
    let found = site.until(&path, |plans| ours(plans).is_some()).await;
    ours(&found).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loop_proposes_then_acts_and_can_be_stopped() {
    let home = Home::new();
    let site = home.start().await;
    let mut service = home.service("shop", 1);
    // One replica carries 20 requests a second.
    service["spec"]["command"][5] = json!("1");
    service["spec"]["command"][7] = json!("50");
    service["spec"]["concurrency_per_replica"] = json!(1);
    service["scaling"] = json!({"mode": "predictive", "min_replicas": 1, "max_replicas": 6,
        "step_ms": 500, "capacity_per_replica": 20.0});
    site.serve(service).await;
    let seen = site.settled("shop").await;
    let address = seen["listen_address"].as_str().unwrap();
    let load = Load::of(format!("http://{address}/work"), 28);

    let proposed = plan_of_the_loop(&site, "proposed").await;
    assert_eq!(proposed["rung"], "observe", "{proposed}");
    assert_eq!(site.settled("shop").await["replicas"], 1, "it only proposes");
    assert_eq!(home.replicas().len(), 1);

    let automatic = json!({"rung": "automatic", "ceiling": "automatic", "reason": "we trust it"});
    site.put("/api/v1/autonomy/scale", automatic).await;
    let done = plan_of_the_loop(&site, "succeeded").await;
    assert_eq!(done["steps"][0]["verification"]["state"], "reached", "{done}");
    let wanted = done["plan"]["actions"][0]["params"]["replicas"].as_u64().unwrap();
    assert!(wanted >= 2, "{done}");
    assert!(home.replicas().len() >= 2, "real processes");
    its_story_is_whole(&site, &done).await;

    let stop = json!({"on": true, "reason": "a test stops everything"});
    site.put("/api/v1/kill-switch", stop).await;
    let before = site.get("/api/v1/services/shop/observed").await["fields"]["replicas"].clone();
    load.set(100);
    let denied = plan_of_the_loop(&site, "denied").await;
    assert!(denied["verdict"].to_string().contains("kill_switch"), "{denied}");
    let after = site.get("/api/v1/services/shop/observed").await["fields"]["replicas"].clone();
    assert_eq!(before, after, "the kill switch holds");
}

/// From the finding over the plan to the rows of the ledger.
async fn its_story_is_whole(site: &Site, plan: &Value) {
    let story = plan["plan"]["story"].as_str().unwrap();
    let story = site.get(&format!("/api/v1/stories/{story}")).await;
    let findings = story["story"]["findings"].as_array().unwrap();
    let answered = plan["plan"]["findings"][0].as_str().unwrap();
    assert!(findings.iter().any(|finding| finding["id"] == answered), "{story}");
    let plans = story["plans"].as_array().unwrap();
    assert!(plans.iter().any(|known| known["id"] == plan["id"]), "{story}");
    let rows = story["ledger"].as_array().unwrap();
    let action = &plan["plan"]["actions"][0]["id"];
    let about = rows.iter().filter(|row| row["subject"] == *action);
    let kinds: Vec<&str> = about.map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["intent", "outcome"], "{story}");
}
