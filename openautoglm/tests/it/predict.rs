//! Models that predict numbers, on workers, over the API.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::fleet::{Worker, nodes, worker_at};
use crate::world::{Home, Site};

fn file(name: &str) -> String {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/engine/tests/data");
    data.join(name).display().to_string()
}

fn worker(home: &Home, site: &Site, node: &str, model: &str, onnx: &str) -> Worker {
    let words = ["--model", model, "--onnx", &file(onnx), "--threads", "1"];
    worker_at(home, &site.product.base_url(), node, &words)
}

/// Rows, and what the reference implementation says of them.
fn case(model: &str) -> Value {
    let text = std::fs::read_to_string(file("onnx.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[model].take()
}

fn assert_near(found: &Value, wanted: &Value) {
    let rows = |value: &Value| serde_json::from_value::<Vec<Vec<f64>>>(value.clone()).unwrap();
    let (found, wanted) = (rows(found), rows(wanted));
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() <= 1e-5, "{found} is not {wanted}");
        }
    }
}

async fn refused(site: &Site, path: &str, body: Value) -> (u16, Value, String) {
    let key = site.product.admin_key().unwrap();
    let (status, problem) = site.call(Method::POST, path, Some(&body), &key).await;
    let first = &problem["errors"][0];
    let message = first["message"].as_str().or(problem["detail"].as_str()).unwrap_or_default();
    (status, first["field"].clone(), message.to_owned())
}

#[tokio::test]
async fn a_worker_predicts_over_the_api_and_another_goes_on_when_it_is_killed() {
    const PATH: &str = "/api/v1/models/iris/predict";
    let home = Home::new();
    let site = home.start().await;
    let (status, field, message) =
        refused(&site, "/predict", json!({"features": [1, 2, 3, 4]})).await;
    assert_eq!((status, field), (400, json!("model")));
    assert!(message.contains("openautoglm worker --model NAME --onnx FILE"), "{message}");

    let one = worker(&home, &site, "one", "iris", "mlp.onnx");
    let _two = worker(&home, &site, "two", "iris", "mlp.onnx");
    let seen = nodes(&site, &[("one", "ready"), ("two", "ready")]).await;
    let about = seen["items"][0]["models"][0]["about"].as_str().unwrap();
    assert!(about.contains("x f32[N,4] -> probabilities f32[N,3]"), "{about}");
    let case = case("mlp");
    let named = site.post(PATH, json!({"features": case["rows"]})).await;
    let plain = site.post("/predict", json!({"features": case["rows"]})).await;
    assert_eq!(named, plain);
    assert_eq!(named["model"], "iris");
    for output in case["outputs"].as_array().unwrap() {
        assert_near(&named["outputs"][output["name"].as_str().unwrap()], &output["rows"]);
    }
    assert_eq!(named["prediction"], named["outputs"]["probabilities"]);
    let first = site.post("/predict", json!({"model": "iris", "features": case["rows"][0]})).await;
    assert_eq!(first["prediction"], json!([named["prediction"][0]]));
    one.signal(rustix::process::Signal::KILL);
    for _ in 0..20 {
        assert_eq!(site.post(PATH, json!({"features": case["rows"]})).await, named);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told() {
    let home = Home::new();
    let site = home.start().await;
    let _one = worker(&home, &site, "one", "iris", "mlp.onnx");
    let _two = worker(&home, &site, "two", "scores", "conv.onnx");
    nodes(&site, &[("one", "ready"), ("two", "ready")]).await;
    let path = |what: &str| format!("/api/v1/models/iris/{what}");
    for (path, body, field, wanted) in [
        ("/predict".to_owned(), json!({"features": [1]}), "model", "name one of iris, scores"),
        (path("predict"), json!({"features": [[1, 2, 3]]}), "features[0]", "takes 4 a row"),
        (path("predict"), json!({"features": [1, 2, 3, 1e39]}), "features[0][3]", "is inf"),
        (path("predict"), json!({"features": [1, null]}), "features[1]", "a list of numbers"),
        (path("predict"), json!({"features": [[1], 2]}), "features[1]", "not with both"),
        (path("predict"), json!({"features": vec![[1, 2, 3, 4]; 4_097]}), "features", "4096 go"),
        (path("generate"), json!({"prompt": "why?"}), "model", "writes no text"),
    ] {
        let (status, found, message) = refused(&site, &path, body).await;
        assert_eq!((status, found.as_str()), (400, Some(field)), "{path}: {message}");
        assert!(message.contains(wanted), "{path}: {message}");
    }
    let image = case("conv");
    let body = json!({"model": "scores", "features": image["rows"]});
    let answer = site.post("/predict", body).await;
    assert_near(&answer["prediction"], &image["outputs"][0]["rows"]);
    assert!(answer.get("outputs").is_none(), "{answer}");
    let body = json!({"features": [1, 2, 3, 4]});
    let (status, _, message) = refused(&site, "/api/v1/models/nobody/predict", body.clone()).await;
    assert_eq!(status, 404, "{message}");
    for path in ["/predict".to_owned(), path("predict")] {
        let (status, _) = site.call(Method::POST, &path, Some(&body), "oag_nobody").await;
        assert_eq!(status, 401);
    }
}
