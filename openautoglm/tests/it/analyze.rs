//! Numbers pushed once, and what should be done about them.

use reqwest::Method;
use serde_json::json;

use crate::world::Home;

#[tokio::test]
async fn a_service_under_load_is_to_grow_and_a_calm_one_is_left_alone() {
    let home = Home::new();
    let site = home.start().await;
    let busy = json!({
        "metrics": {"cpu_usage": [95, 96, 98, 94], "request_rate": [1200, 1300, 1100, 1400],
            "error_rate": [0.05, 0.12, 0.33, 0.41]},
        "context": "大促期间订单服务出现延迟",
    });
    let answer = site.post("/api/v1/analyze", busy).await;
    assert_eq!(answer["action"], "将 order-service 扩容到 6 个副本", "{answer}");
    assert_eq!(answer["decision"], "act");
    assert_eq!(answer["plan"]["actions"][0]["params"], json!({"replicas": 6}));

    let calm = json!({
        "metrics": {"cpu_usage": [31, 30, 32, 31], "request_rate": [90, 91, 89, 90]},
        "context": "order-service on a quiet afternoon", "replicas": 3,
    });
    let answer = site.post("/api/v1/analyze", calm).await;
    assert_eq!(answer["decision"], "no_action", "{answer}");
    assert_eq!((&answer["plan"], &answer["action_kind"]), (&json!(null), &json!("none")));
    assert_eq!(answer["language"], "en");

    let key = site.product.admin_key().unwrap();
    let nothing = json!({"metrics": {}});
    let (status, problem) = site.call(Method::POST, "/api/v1/analyze", Some(&nothing), &key).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("metrics")), "{problem}");
    assert_eq!(site.get("/api/v1/plans").await["items"], json!([]), "nothing is proposed by that");
}
