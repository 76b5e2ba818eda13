//! Probes, metrics, pages, headers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use oag_api::{ApiConfig, Probe, Question};
use serde_json::json;

use crate::world::World;

struct Switch {
    name: &'static str,
    questions: Vec<Question>,
    well: AtomicBool,
}

#[async_trait]
impl Probe for Switch {
    fn name(&self) -> &str {
        self.name
    }

    fn questions(&self) -> &[Question] {
        &self.questions
    }

    async fn check(&self) -> Result<(), String> {
        if self.well.load(Ordering::SeqCst) { Ok(()) } else { Err("does not answer".into()) }
    }
}

#[tokio::test]
async fn each_probe_answers_its_own_question() {
    let switch = |name, question| {
        let questions = vec![question];
        Arc::new(Switch { name, questions, well: AtomicBool::new(true) })
    };
    let ingest = switch("ingest", Question::Live);
    let executor = switch("executor:local", Question::Ready);
    let warm = switch("warm-up", Question::Startup);
    warm.well.store(false, Ordering::SeqCst);
    let probes: Vec<Arc<dyn Probe>> = vec![ingest.clone(), executor.clone(), warm.clone()];
    let world = World::with(ApiConfig::default(), probes).await;
    let ask = async |what: &str| world.get(&format!("/health/{what}")).send().await;
    assert_eq!(ask("live").await.expect(200)["status"], "ok");
    assert_eq!(ask("ready").await.expect(200)["components"][0]["name"], "store");
    assert_eq!(ask("startup").await.expect(503)["failing"], json!(["warm-up"]));

    executor.well.store(false, Ordering::SeqCst);
    assert_eq!(ask("ready").await.expect(503)["failing"], json!(["executor:local"]));
    ask("live").await.expect(200);
    ingest.well.store(false, Ordering::SeqCst);
    assert_eq!(ask("live").await.expect(503)["failing"], json!(["ingest"]));
    warm.well.store(true, Ordering::SeqCst);
    ask("startup").await.expect(200);
    // Starting is over once and for all.
    warm.well.store(false, Ordering::SeqCst);
    ask("startup").await.expect(200);
}

#[tokio::test]
async fn metrics_count_requests_by_route() {
    let world = World::new().await;
    world.get("/api/v1/services/order-service").admin().await.expect(200);
    world.get("/api/v1/services/none").admin().await.expect(404);
    world.get("/x/y/z").send().await.expect(404);
    let metrics = world.get("/metrics").send().await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    let text = metrics.text();
    let route = r#"route="/api/v1/services/{name}",method="GET""#;
    for line in [
        format!(r#"openautoglm_http_requests_total{{{route},code="200"}} 1"#),
        format!(r#"openautoglm_http_requests_total{{{route},code="404"}} 1"#),
        format!(r#"openautoglm_http_request_duration_seconds_count{{{route}}} 2"#),
        r#"openautoglm_http_requests_total{route="unmatched",method="GET",code="404"} 1"#.into(),
        "openautoglm_process_resident_memory_bytes 1024".into(),
        "openautoglm_process_cpu_seconds_total 1.5".into(),
    ] {
        assert!(text.contains(&line), "no {line} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn metrics_can_need_a_permission() {
    let config = ApiConfig { metrics_public: false, ..ApiConfig::default() };
    let world = World::with(config, Vec::new()).await;
    world.get("/metrics").send().await.problem(401, "OAG-1101");
    let operator = world.operator().await;
    world.get("/metrics").key(&operator).send().await.problem(403, "OAG-1201");
    assert_eq!(world.get("/metrics").admin().await.status, 200);
}

#[tokio::test]
async fn every_answer_carries_an_id_and_safe_headers() {
    let world = World::new().await;
    let reply = world.get("/health/live").header("x-request-id", "trace-7.a").send().await;
    assert_eq!(reply.header("x-request-id"), "trace-7.a");
    for insane in ["", "a b", &"x".repeat(129), "{}"] {
        let reply = world.get("/health/live").header("x-request-id", insane).send().await;
        assert!(reply.header("x-request-id").starts_with("req_"), "{insane}");
    }
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("x-frame-options"), "DENY");
    assert_eq!(reply.header("referrer-policy"), "no-referrer");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert!(reply.header("content-security-policy").contains("default-src 'none'"));
    let cors = world.get("/api/v1/plans").header("origin", "https://evil.example").admin().await;
    assert_eq!(cors.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn the_landing_page_loads_nothing_and_speaks_two_languages() {
    let world = World::new().await;
    let english = world.get("/").send().await;
    assert!(english.header("content-type").starts_with("text/html"));
    let text = english.text();
    assert!(text.contains("<title>Open-AutoGLM</title>") && text.contains("is up."));
    assert!(text.contains(env!("CARGO_PKG_VERSION")) && text.contains("prefers-color-scheme:dark"));
    for link in ["/api/v1/openapi.json", "/health/ready", "/metrics", "/?lang=zh"] {
        assert!(text.contains(&format!("href=\"{link}\"")), "{link}");
    }
    assert!(!text.contains("src=") && !text.contains("@import") && !text.contains("url("));
    assert!(!text.contains("<script"));
    let chinese = world.get("/").header("accept-language", "zh-CN,zh;q=0.9").send().await;
    assert!(chinese.text().contains("lang=\"zh\"") && chinese.text().contains("正在运行"));
    assert!(world.get("/?lang=zh").send().await.text().contains("正在运行"));
}

#[tokio::test]
async fn error_pages_are_served_where_problems_point() {
    let world = World::new().await;
    let problem = world.get("/nothing").send().await.problem(404, "OAG-1301");
    let page = world.get(problem["type"].as_str().unwrap()).send().await;
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.text().contains("OAG-1301"));
    let plain = world.get("/docs/errors/OAG-1301").header("accept", "text/markdown").send().await;
    assert!(plain.text().starts_with("# OAG-1301"));
    world.get("/docs/errors/OAG-0000").send().await.problem(404, "OAG-1301");
    world.get("/docs/errors/..%2f..%2fCargo.toml").send().await.problem(404, "OAG-1301");
}
