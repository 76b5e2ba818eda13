use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn vectors_come_as_numbers_or_packed() {
    let world = World::new();
    let mut request = json!({"model": "glm", "input": ["abc", "d"]});
    let answer = world.post("/v1/embeddings", &request).await.json();
    let wanted = json!({
        "object": "list", "model": "glm", "usage": {"prompt_tokens": 2, "total_tokens": 2},
        "data": [{"object": "embedding", "index": 0, "embedding": [3.0, 0.5]},
                 {"object": "embedding", "index": 1, "embedding": [1.0, 0.5]}],
    });
    assert_eq!(answer, wanted);
    request["encoding_format"] = json!("base64");
    let answer = world.post("/v1/embeddings", &request).await.json();
    assert_eq!(answer["data"][0]["embedding"], "AABAQAAAAD8=");
    request["dimensions"] = json!(1);
    let error = world.post("/v1/embeddings", &request).await.error(400);
    assert_eq!(
        (&error["param"], &error["code"]),
        (&json!("dimensions"), &json!("unsupported_parameter"))
    );
}

#[tokio::test]
async fn models_are_listed_and_read() {
    let world = World::new();
    let list = world.get("/v1/models").await.json();
    assert_eq!((&list["object"], &list["data"][0]["id"]), (&json!("list"), &json!("glm")));
    assert_eq!(world.get("/v1/models/glm").await.json()["object"], "model");
    let error = world.get("/v1/models/nobody/x").await.error(404);
    assert_eq!((&error["code"], &error["param"]), (&json!("model_not_found"), &json!("model")));
}
