use oag_serve::{Input, Limits};
use serde_json::json;

use crate::world::{World, words};

#[tokio::test]
async fn a_prompt_in_a_text_out() {
    let world = World::new();
    world.says(words(&["上", "架"]));
    let reply = world.post("/generate", &json!({"prompt": "go"})).await;
    assert_eq!(reply.json(), json!({"result": "上架"}));
    let asked = world.asked();
    assert_eq!((asked.model.as_str(), asked.input), ("glm", Input::question("go")));
    assert_eq!(asked.limits, Limits { tokens_max: Some(128), stop: Vec::new() });
    let more = json!({"prompt": "go", "max_length": 3, "model": "glm"});
    world.post("/generate", &more).await;
    assert_eq!(world.asked().limits.tokens_max, Some(3));
    for (request, param) in [
        (json!({"prompt": ""}), "prompt"),
        (json!({"max_length": 3}), "prompt"),
        (json!({"prompt": "x", "max_length": 0}), "max_length"),
    ] {
        assert_eq!(world.post("/generate", &request).await.error(400)["param"], param);
    }
}
