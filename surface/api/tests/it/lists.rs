//! Pages.

use std::collections::BTreeSet;

use serde_json::json;

use crate::world::{World, scale, service};

#[tokio::test]
async fn pages_follow_one_another_without_gaps_or_repeats() {
    let world = World::new().await;
    for n in 0..7 {
        let name = format!("svc-{n}");
        let path = format!("/api/v1/services/{name}");
        world.put(&path).json(&service(&name, "orders")).admin().await.expect(201);
        world.post("/api/v1/plans").json(&scale(3)).admin().await.expect(201);
    }
    for (list, id, count) in [("services", "name", 9), ("plans", "id", 7), ("principals", "id", 2)]
    {
        let mut seen = BTreeSet::new();
        let mut token = None::<String>;
        let mut pages = 0;
        loop {
            let after = token.map(|token| format!("&page_token={token}")).unwrap_or_default();
            let path = format!("/api/v1/{list}?page_size=2{after}");
            let page = world.get(&path).admin().await.expect(200);
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 2 && page["revision"].as_u64().unwrap() > 0);
            for item in items {
                assert!(seen.insert(item[id].as_str().unwrap().to_owned()), "{item} twice");
            }
            pages += 1;
            token = page["next_page_token"].as_str().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), count, "{list}");
        assert!(pages >= count / 2, "{list}");
    }
}

#[tokio::test]
async fn tokens_of_another_list_or_filter_are_refused() {
    let world = World::new().await;
    for _ in 0..3 {
        world.post("/api/v1/plans").json(&scale(3)).admin().await.expect(201);
    }
    let page = world.get("/api/v1/plans?page_size=1").admin().await.expect(200);
    let token = page["next_page_token"].as_str().unwrap();
    assert!(!token.contains("pln_"));
    for path in [
        format!("/api/v1/services?page_token={token}"),
        format!("/api/v1/plans?phase=queued&page_token={token}"),
        "/api/v1/plans?page_token=pln_00000000000000000000000000000001".to_owned(),
        format!("/api/v1/plans?page_token={}x", token),
    ] {
        world.get(&path).admin().await.problem(400, "OAG-1003");
    }
}

#[tokio::test]
async fn filters_are_checked_and_applied() {
    let world = World::new().await;
    world.post("/api/v1/plans").json(&scale(3)).admin().await.expect(201);
    let count = async |query: &str| {
        let path = format!("/api/v1/plans?{query}");
        world.get(&path).admin().await.expect(200)["items"].as_array().unwrap().len()
    };
    assert_eq!(count("phase=proposed").await, 1);
    assert_eq!(count("phase=running").await, 0);
    assert_eq!(count("service=order-service").await, 1);
    assert_eq!(count("service=pay-service").await, 0);
    let bad = [
        "phase=flying",
        "service=Not+a+name",
        "page_size=0",
        "page_size=x",
        "pagesize=3",
        "from_revision=3",
        "watch=perhaps",
    ];
    for query in bad {
        world.get(&format!("/api/v1/plans?{query}")).admin().await.problem(400, "OAG-1001");
    }
}

#[tokio::test]
async fn kinds_describe_their_parameters() {
    let world = World::new().await;
    let kinds = world.get("/api/v1/kinds").admin().await.expect(200);
    let items = kinds["items"].as_array().unwrap();
    let scale = items.iter().find(|kind| kind["kind"] == "scale").unwrap();
    assert_eq!(scale["permission"], "service:scale");
    assert_ne!(scale["params_schema"], json!(null));
}
