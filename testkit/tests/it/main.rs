//! The testkit's own promises, against a stand-in for the product.

use oag_testkit::{Options, Product, client, free_port};

fn stand_in() -> Options {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/stand_in.py");
    Options::new().binary(script).env("WORD", "hello")
}

async fn answers(product: &Product) -> bool {
    let Ok(client) = client() else { return false };
    client.get(format!("{}/health/ready", product.base_url())).send().await.is_ok()
}

#[tokio::test]
async fn starts_restarts_and_ends() {
    let mut product = stand_in().start().await.unwrap();
    assert!(answers(&product).await);
    assert_eq!(product.admin_key().unwrap(), "oag_key");
    assert!(product.log().contains("up: hello console"));
    let answer = product.request(reqwest::Method::GET, "/api").unwrap().send().await.unwrap();
    assert_eq!(answer.status(), 200);

    let first = product.pid();
    product.kill9().unwrap();
    assert!(!answers(&product).await);
    product.restart().await.unwrap();
    assert_ne!(product.pid(), first);
    assert!(answers(&product).await);

    assert!(product.terminate().await.unwrap().success());
    assert!(!answers(&product).await);
}

#[tokio::test]
async fn listens_where_it_is_told() {
    let port = free_port().unwrap();
    let product = stand_in().port(port).start().await.unwrap();
    assert_eq!(product.address(), format!("127.0.0.1:{port}"));
}

#[tokio::test]
async fn ends_with_its_value_and_leaves_the_data_it_was_given() {
    let data = oag_testkit::temp_dir().unwrap();
    let product = stand_in().data(data.path()).start().await.unwrap();
    let url = format!("{}/health/ready", product.base_url());
    drop(product);
    assert!(client().unwrap().get(url).send().await.is_err());
    assert!(data.path().join("admin.key").exists());
}

#[tokio::test]
async fn a_failed_start_says_why() {
    let error = stand_in().arg("--broken").start().await.unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("no disk") && text.contains("the product ended"), "{text}");
}
