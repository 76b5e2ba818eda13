//! ONNX files: what they predict is what the reference implementation predicts, and what is wrong
//! with a file or with rows is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use oag_engine::{OnnxConfig, load_onnx};
use oag_serve::{
    Context, Engine, EngineError, Features, Generation, Input, PredictedOutput, Predictions, Skill,
};
use oag_types::Tenant;
use serde::Deserialize;

/// Rows, and what the reference implementation says of them.
#[derive(Debug, Deserialize)]
struct Case {
    rows: Vec<Vec<f32>>,
    outputs: Vec<PredictedOutput>,
}

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn cases() -> BTreeMap<String, Case> {
    let text = std::fs::read_to_string(data("onnx.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

async fn engine(name: &str, set: impl FnOnce(&mut OnnxConfig)) -> Arc<dyn Engine> {
    let mut config = OnnxConfig::new("m", data(&format!("{name}.onnx")));
    config.threads = Some(1);
    set(&mut config);
    load_onnx(config).await.unwrap()
}

async fn ask(engine: &dyn Engine, rows: Vec<Vec<f32>>) -> Result<Predictions, EngineError> {
    engine.predict("m", Features::new(rows).unwrap()).await
}

async fn wrong(engine: &dyn Engine, rows: Vec<Vec<f32>>) -> String {
    ask(engine, rows).await.unwrap_err().to_string()
}

fn assert_near(found: &Predictions, wanted: &[PredictedOutput], rows: std::ops::Range<usize>) {
    assert_eq!(found.outputs.len(), wanted.len());
    for (found, wanted) in found.outputs.iter().zip(wanted) {
        assert_eq!(found.name, wanted.name);
        let wanted = &wanted.rows[rows.clone()];
        assert_eq!(found.rows.len(), wanted.len());
        for (found, wanted) in found.rows.iter().zip(wanted) {
            assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found - wanted).abs() <= 1e-5, "{found} is not {wanted}");
            }
        }
    }
}

#[tokio::test]
async fn predictions_are_those_of_the_reference_alone_together_and_in_steps() {
    let cases = cases();
    assert_eq!(cases.keys().collect::<Vec<_>>(), ["conv", "fixed", "mlp"]);
    for (name, case) in &cases {
        let whole = engine(name, |_| {}).await;
        let steps = engine(name, |config| config.step_rows = 2).await;
        for engine in [&whole, &steps] {
            let all = ask(engine.as_ref(), case.rows.clone()).await.unwrap();
            assert_near(&all, &case.outputs, 0..case.rows.len());
        }
        for (at, row) in case.rows.iter().enumerate() {
            let one = ask(whole.as_ref(), vec![row.clone()]).await.unwrap();
            assert_near(&one, &case.outputs, at..at + 1);
        }
        assert_eq!(whole.stats().answers, 1 + case.rows.len() as u64);
    }
}

#[tokio::test]
async fn a_card_says_what_goes_in_and_what_comes_out() {
    for (name, about) in [
        ("mlp", "x f32[N,4] -> probabilities f32[N,3], label i64[N]; 4 numbers a row"),
        ("conv", "images f32[N,3,8,8] -> scores f32[N,5]; 192 numbers a row"),
        ("fixed", "ids i64[1,2], y f32[1,3] -> out f32[1,2]; 5 numbers a row"),
    ] {
        let engine = engine(name, |_| {}).await;
        let card = engine.card("m").unwrap();
        assert_eq!((card.skills.as_slice(), card.window_tokens), (&[Skill::Predict][..], None));
        let file = format!("{name}.onnx: ");
        assert_eq!(card.about.split_once(&file).map(|(_, about)| about), Some(about));
    }
}

#[tokio::test]
async fn rows_that_do_not_fit_are_refused_with_their_place() {
    let mlp = engine("mlp", |_| {}).await;
    let text = wrong(mlp.as_ref(), vec![vec![0.0; 4], vec![0.0; 5]]).await;
    assert_eq!(text, "features[1]: has 5 numbers; the model takes 4 a row: x f32[N,4]");
    let fixed = engine("fixed", |_| {}).await;
    let text = wrong(fixed.as_ref(), vec![vec![0.0; 2]]).await;
    assert!(text.ends_with("takes 5 a row: ids i64[1,2], then y f32[1,3]"), "{text}");
    let text = wrong(fixed.as_ref(), vec![vec![1.0, 1.5, 0.0, 0.0, 0.5]]).await;
    assert_eq!(
        text,
        "features[0][1]: is 1.5; the input \"ids\" takes whole numbers of the kind I64"
    );
    // There are six lines in the table that these are looked up in.
    let error = ask(fixed.as_ref(), vec![vec![1.0, 600.0, 0.0, 0.0, 0.5]]).await.unwrap_err();
    assert!(!error.may_be_tried_again(), "{error}");
    let case = cases().remove("fixed").unwrap();
    let fine = ask(fixed.as_ref(), case.rows.clone()).await.unwrap();
    assert_near(&fine, &case.outputs, 0..case.rows.len());
}

#[tokio::test]
async fn what_is_no_number_is_not_answered() {
    let log = engine("log", |config| config.step_rows = 1).await;
    let fine = ask(log.as_ref(), vec![vec![1.0]]).await.unwrap();
    assert_eq!(fine.outputs[0].rows, [[0.0]]);
    let text = wrong(log.as_ref(), vec![vec![1.0], vec![-1.0]]).await;
    assert_eq!(
        text,
        "features[1]: leads to NaN at y[1][0], which is no number that can be answered"
    );
    let text = wrong(log.as_ref(), vec![vec![0.0]]).await;
    assert!(text.starts_with("features[0]: leads to -inf at y[0][0]"), "{text}");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        file
    };
    let mlp = std::fs::read(data("mlp.onnx")).unwrap();
    for (file, wanted) in [
        (folder.path().join("nothing.onnx"), "it cannot be read: No such file"),
        (written("half.onnx", &mlp[..mlp.len() / 2]), "it is damaged, or no ONNX file: "),
        (written("empty.onnx", b""), "it is damaged, or no ONNX file: there is no graph in it"),
        (written("text.onnx", b"not a model at all"), "it is damaged, or no ONNX file: "),
        (data("dangling.onnx"), "it is damaged, or no ONNX file: "),
        (
            data("unknown.onnx"),
            "operators that are not known here: shop.example.Blur (node \"first\")",
        ),
        (data("loose.onnx"), "\"x\" has the shape [N,length]: only the first dimension"),
        (data("glm4.gguf"), "it is damaged, or no ONNX file: "),
    ] {
        let error = load_onnx(OnnxConfig::new("m", &file)).await.err().unwrap();
        assert_eq!(error.field, "file");
        assert!(error.problem.contains(wanted), "{error}");
        assert!(error.problem.starts_with(&file.display().to_string()), "{error}");
    }
}

#[tokio::test]
async fn requests_wait_for_a_thread_and_no_more_than_may_wait() {
    let conv = engine("conv", |config| {
        config.waiting_max = 1;
        config.busy_retry_ms = 7_000;
    })
    .await;
    let slow = || ask(conv.as_ref(), vec![vec![0.5; 192]; 1_024]);
    let look = async {
        let stats = conv.stats();
        (stats.slots, stats.busy, stats.waiting)
    };
    let (first, second, third, seen) = futures::join!(slow(), slow(), slow(), look);
    assert_eq!(seen, (1, 1, 1));
    assert_eq!(first.unwrap().outputs[0].rows.len(), 1_024);
    assert!(second.is_ok());
    let retry_after = Duration::from_secs(7);
    assert_eq!(third.unwrap_err(), EngineError::Overloaded { retry_after });

    // Who leaves frees the thread for the next.
    let mut left = Box::pin(slow());
    assert!(futures::poll!(&mut left).is_pending());
    drop(left);
    assert!(slow().await.is_ok());
    let stats = conv.stats();
    assert_eq!((stats.busy, stats.waiting, stats.answers), (0, 0, 4));
}

#[tokio::test]
async fn what_it_cannot_do_is_refused() {
    let mlp = engine("mlp", |_| {}).await;
    let tenant = Tenant::try_from("shop".to_owned()).unwrap();
    let context = Context::new(tenant, "r".to_owned());
    let asked = |model: &str| Generation::new(model, Input::question("why?"), context.clone());
    let text = mlp.generate(asked("m")).await.err().unwrap().to_string();
    assert!(text.contains("predicts from numbers and writes no text"), "{text}");
    let text = mlp.embed("m", vec!["a".to_owned()]).await.unwrap_err().to_string();
    assert!(text.contains("makes no embeddings"), "{text}");
    for error in [
        mlp.generate(asked("other")).await.err().unwrap(),
        mlp.predict("other", Features::new(vec![vec![1.0]]).unwrap()).await.unwrap_err(),
    ] {
        assert!(matches!(error, EngineError::NoModelLoaded { .. }), "{error}");
    }
    let mut config = OnnxConfig::new("m", data("mlp.onnx"));
    config.step_rows = 0;
    let error = load_onnx(config).await.err().unwrap();
    assert_eq!(error.to_string(), "step_rows: must be between 1 and 4096, not 0");
}
