use oag_serve::{Delta, Event, Finish, Input, TokenLogprob};
use serde_json::json;

use crate::world::{World, end, words};

const PATH: &str = "/v1/completions";

#[tokio::test]
async fn text_is_gone_on_with() {
    let world = World::new();
    let logprob = |text: &str| TokenLogprob { token: text.to_owned(), logprob: -1.0, top: vec![] };
    let said = |text: &str| {
        let logprobs = vec![logprob(text)];
        Ok(Event::Delta(Delta { text: text.to_owned(), logprobs, ..Delta::default() }))
    };
    for _ in 0..2 {
        world.says(vec![said("上"), said("架"), Ok(end(Finish::Length, 2))]);
    }
    let mut request = json!({"model": "glm", "prompt": "go", "logprobs": 0});
    let answer = world.post(PATH, &request).await.json();
    assert_eq!(
        (&answer["object"], &answer["choices"][0]["text"]),
        (&json!("text_completion"), &json!("上架"))
    );
    let logprobs = json!({"tokens": ["上", "架"], "token_logprobs": [-1.0, -1.0],
                          "top_logprobs": [{}, {}], "text_offset": [0, 1]});
    assert_eq!(answer["choices"][0]["logprobs"], logprobs);
    let asked = world.asked();
    assert_eq!((asked.input, asked.limits.tokens_max), (Input::Text("go".to_owned()), Some(16)));

    request["stream"] = json!(true);
    let (events, whole) = world.post(PATH, &request).await.events();
    assert!(whole);
    assert_eq!(events[1]["choices"][0]["logprobs"]["text_offset"], json!([1]));
    assert_eq!(events[2]["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn several_prompts_have_their_answers_in_order() {
    let world = World::new();
    for word in ["a", "b", "c", "d"] {
        world.says(words(&[word]));
    }
    let request = json!({"model": "glm", "prompt": ["one", "two"], "n": 2});
    let answer = world.post(PATH, &request).await.json();
    let texts: Vec<_> =
        answer["choices"].as_array().unwrap().iter().map(|choice| choice["text"].clone()).collect();
    assert_eq!(texts, ["a", "b", "c", "d"]);
    assert_eq!(
        (&answer["usage"]["prompt_tokens"], &answer["usage"]["completion_tokens"]),
        (&json!(14), &json!(4))
    );
    let asked = world.engine.asked.lock().unwrap();
    let mut ids: Vec<_> = asked.iter().map(|asked| &asked.context.request).collect();
    ids.dedup();
    assert_eq!(ids.len(), 4, "{ids:?}");
}

#[tokio::test]
async fn tokens_are_turned_into_text_first() {
    let world = World::new();
    world.post(PATH, &json!({"model": "glm", "prompt": [3, 4]})).await;
    assert_eq!(world.asked().input, Input::Text("t3 t4 ".to_owned()));
}
