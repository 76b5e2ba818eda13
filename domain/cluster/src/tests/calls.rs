//! Questions that are answered at once, and predictions among them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use oag_serve::{Engine, EngineError, Features, Predictions, Skill};

use super::world::{NodeHandle, World, until};
use crate::{ClusterConfig, Ended};

/// A question that takes a node so many steps.
async fn predict(world: &World, steps: f32) -> Result<Predictions, EngineError> {
    let features = Features::new(vec![vec![steps], vec![1.0, 2.5]])?;
    world.cluster.predict("m", features).await
}

async fn two_nodes(world: &World) -> [NodeHandle; 2] {
    let skills = || vec![Skill::Predict];
    let nodes = [world.node_with("one", 1, skills()), world.node_with("two", 1, skills())];
    until("both nodes", || world.cluster.figures().connected == 2).await;
    nodes
}

fn begun(node: &NodeHandle) -> u32 {
    node.engine.begun.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn predictions_are_shared_among_nodes() {
    let world = World::new(ClusterConfig::default());
    let [one, two] = two_nodes(&world).await;
    for answer in join_all((0..10).map(|_| predict(&world, 7.0))).await {
        let outputs = answer.unwrap().outputs;
        assert_eq!((outputs.len(), outputs[0].name.as_str()), (1, "sum"));
        assert_eq!(outputs[0].rows, [[7.0], [3.5]]);
    }
    assert_eq!((begun(&one), begun(&two)), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn what_a_node_cannot_answer_now_another_answers() {
    let world = World::new(ClusterConfig::default());
    let [one, two] = two_nodes(&world).await;
    let busy = || EngineError::Overloaded { retry_after: Duration::from_secs(3) };
    one.engine.refuse.lock().unwrap().push(busy());
    assert!(predict(&world, 1.0).await.is_ok());
    assert_eq!((begun(&one), begun(&two)), (0, 1));
    one.engine.refuse.lock().unwrap().push(busy());
    two.engine.refuse.lock().unwrap().push(busy());
    assert_eq!(predict(&world, 1.0).await.unwrap_err(), busy());

    // The first one is asked, and is lost with the question.
    let cut = async {
        until("it is asked", || begun(&one) == 1).await;
        world.net.lead_to(None);
        world.net.cut("one");
    };
    let (answer, ()) = futures::join!(predict(&world, 100.0), cut);
    assert_eq!(answer.unwrap().outputs[0].rows[0], [100.0]);
    assert_eq!((begun(&one), begun(&two)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_not_asked_again() {
    let world = World::new(ClusterConfig::default());
    let [one, two] = two_nodes(&world).await;
    let wrong = EngineError::refused("features[0]", "has 1 number");
    one.engine.refuse.lock().unwrap().push(wrong.clone());
    assert_eq!(predict(&world, 1.0).await.unwrap_err(), wrong);
    assert_eq!((begun(&one), begun(&two)), (0, 0));

    let world = World::new(ClusterConfig::default());
    let _chats = world.node("one", 1);
    until("the node", || world.cluster.figures().connected == 1).await;
    let error = predict(&world, 1.0).await.unwrap_err().to_string();
    assert!(error.contains("predicts from numbers (workers with --onnx"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_draining_node_answers_what_it_was_asked() {
    let world = World::new(ClusterConfig::default());
    let one = world.node_with("one", 1, vec![Skill::Predict]);
    until("the node", || world.cluster.figures().connected == 1).await;
    let drained = async {
        until("it is asked", || one.engine.begun.load(Ordering::SeqCst) == 1).await;
        one.shutdown.begin();
        one.ended.await.unwrap()
    };
    let (answer, ended) = futures::join!(predict(&world, 200.0), drained);
    assert_eq!(answer.unwrap().outputs[0].rows[0], [200.0]);
    assert_eq!(ended, Ended::Drained);
}
