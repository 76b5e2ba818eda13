//! What goes wrong with a process that runs a model, and how much of it others notice.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::StreamExt;
use oag_serve::{Engine, EngineError, Event};
use rustix::process::{Pid, Signal, kill_process};

use crate::models::{cases, config, engine, file, greedy, start, until, whole};

#[tokio::test]
async fn a_process_that_is_killed_breaks_its_answers_off_and_comes_back() {
    let engine = engine("glm4", |config| config.slots = 1).await.unwrap();
    let case = &cases("glm4").unwrap()[0];
    let mut under_way = engine.generate(greedy(&case.text, 400)).await.unwrap();
    let mut given = Vec::new();
    if let Some(Ok(Event::Delta(delta))) = under_way.next().await {
        given.extend(delta.tokens);
    }
    let process = engine.process().unwrap();
    let pid = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let error = loop {
        match under_way.next().await.unwrap() {
            Ok(Event::Delta(delta)) => given.extend(delta.tokens),
            Ok(end) => panic!("{end:?}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, EngineError::BrokeOff(why) if why.contains("ended")), "{error:?}");
    assert!(under_way.next().await.is_none());
    until("another process", || engine.process().is_some_and(|now| now != process)).await.unwrap();
    // What was given out is gone on with there.
    given.truncate(40);
    let mut asked = greedy(&case.text, 64);
    asked.resume = given.clone();
    let (_, rest) = whole(&engine, asked).await.unwrap();
    given.extend(rest);
    assert_eq!(given, case.answer);
    assert_eq!(engine.restarts(), 1);
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_frees_its_slot() {
    let engine = engine("glm4", |config| {
        config.slots = 1;
        config.waiting_max = 2;
    })
    .await
    .unwrap();
    let first = engine.generate(greedy("the cart", 400)).await.unwrap();
    until("a slot in use", || engine.figures().busy == 1).await.unwrap();
    assert_eq!(engine.stats().busy, 1);
    drop(first);
    until("a free slot", || engine.figures().busy == 0).await.unwrap();
    assert_eq!(engine.stats().busy, 0);
    let written = engine.figures().written;
    assert!(written < 400, "it was ended before its end: {written}");
    let (_, tokens) = whole(&engine, greedy("the cart", 4)).await.unwrap();
    assert_eq!(tokens.len(), 4);
    let mut late = greedy("the cart", 400);
    late.context.within = Some(Duration::ZERO);
    assert!(matches!(engine.generate(late).await.err(), Some(EngineError::Late)));
}

#[tokio::test]
async fn more_than_fits_is_told_to_come_again() {
    let engine = engine("glm4", |config| {
        config.slots = 1;
        config.waiting_max = 0;
    })
    .await
    .unwrap();
    let _first = engine.generate(greedy("the cart", 400)).await.unwrap();
    let second = engine.generate(greedy("the cart", 4)).await.err();
    assert!(matches!(second, Some(EngineError::Overloaded { .. })), "{second:?}");
}

#[tokio::test]
async fn a_file_that_is_no_model_is_named_with_what_is_wrong() {
    let whole = std::fs::read(file("glm4.gguf")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let half = whole[..whole.len() / 2].to_vec();
    let mut noise = whole.clone();
    noise[4..64].fill(0xff);
    for (name, bytes, wanted) in [
        ("empty", Vec::new(), "it is empty"),
        ("text", b"hello, world".to_vec(), "is not a GGUF file"),
        ("half", half, "cannot be loaded"),
        ("noise", noise, "cannot be loaded"),
    ] {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut config = config("glm4");
        config.file = path;
        let (engine, _) = start(config).unwrap();
        let error = engine.loaded().await.unwrap_err().to_string();
        assert!(error.contains(wanted) && error.contains(name), "{name}: {error}");
        let error = engine.generate(greedy("the", 1)).await.err();
        assert!(matches!(error, Some(EngineError::Unavailable(_))), "{error:?}");
    }
    let mut missing = config("glm4");
    missing.file = directory.path().join("missing");
    let (engine, _) = start(missing).unwrap();
    let error = engine.loaded().await.unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
}

#[cfg(not(feature = "cuda"))]
#[tokio::test]
async fn a_graphics_processor_that_is_asked_for_must_be_there() {
    let mut config = config("glm4");
    config.gpu_layers = Some(1);
    let (engine, _) = start(config.clone()).unwrap();
    let error = engine.loaded().await.unwrap_err().to_string();
    assert!(error.contains("leave gpu_layers out"), "{error}");
    config.gpu_layers = Some(0);
    let (engine, _) = start(config).unwrap();
    engine.loaded().await.unwrap();
}

#[tokio::test]
async fn the_process_ends_when_the_engine_is_dropped_or_drained() {
    let gone =
        |process: u32| move || !std::path::Path::new(&format!("/proc/{process}/exe")).exists();
    let dropped = engine("glm4", |_| {}).await.unwrap();
    let process = dropped.process().unwrap();
    drop(dropped);
    until("its end", gone(process)).await.unwrap();

    let (drained, supervisor) = start(config("glm4")).unwrap();
    drained.loaded().await.unwrap();
    let process = drained.process().unwrap();
    let mut under_way = drained.generate(greedy("the cart", 40)).await.unwrap();
    supervisor.shutdown().begin();
    let mut last = None;
    while let Some(event) = under_way.next().await {
        last = Some(event);
    }
    assert!(matches!(last, Some(Ok(Event::End(_)))), "answers under way are finished: {last:?}");
    assert!(supervisor.drain(Duration::from_secs(10)).await.is_empty());
    until("its end", gone(process)).await.unwrap();
}

#[test]
fn the_process_ends_with_its_parent() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_oag-engine-child"))
        .arg(oag_engine::ENGINE_CHILD)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // What the system does to pipes when a process ends, however it ends.
    drop(child.stdin.take());
    let mut said = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut said).unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(said.is_empty());
}
