//! What must hold when nodes come, break and go.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::protocol::{Hello, NodeRole, PROTOCOL};
use crate::{ClusterConfig, Ended, GroupView, Inventory, NodeState, Refused};
use futures::StreamExt;
use oag_schedule::policy::PolicyKind;
use oag_serve::{Engine, EngineError, Input, Skill, Urgency};
use tokio::time::Instant;

use super::world::{NodeHandle, TOKEN, World, asked, counted, name, read, until};

#[tokio::test(start_paused = true)]
async fn work_is_shared_and_every_answer_is_whole() {
    let world = World::new(ClusterConfig::default());
    let (one, two) = (world.node("one", 2), world.node("two", 2));
    until("both nodes", || world.cluster.figures().connected == 2).await;
    let answers = futures::future::join_all((0..40).map(|_| world.ask(20))).await;
    for answer in answers {
        assert_eq!(answer.unwrap(), counted(20));
    }
    let (one, two) =
        (one.engine.begun.load(Ordering::SeqCst), two.engine.begun.load(Ordering::SeqCst));
    assert_eq!(one + two, 40);
    assert!(one.min(two) >= 15, "one did {one}, the other {two}");
    let figures = world.cluster.figures();
    assert_eq!((figures.answered, figures.again, figures.open), (40, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_survives_its_node_and_says_nothing_twice() {
    let world = World::new(ClusterConfig::default());
    let (one, two) = (world.node("one", 1), world.node("two", 1));
    until("both nodes", || world.cluster.figures().connected == 2).await;
    let mut events = world.cluster.generate(asked(100)).await.unwrap();
    for _ in 0..30 {
        events.next().await.unwrap().unwrap();
    }
    let (first, other) = match one.engine.running.load(Ordering::SeqCst) {
        1 => ("one", &two),
        _ => ("two", &one),
    };
    // It comes back at once each time, but as another process that knows of no work.
    let gone = if first == "one" { &one } else { &two };
    gone.shutdown.begin();
    world.net.lead_to(None);
    world.net.cut(first);
    let rest = read(events).await.unwrap();
    assert!(counted(100).ends_with(&rest) && rest.starts_with("30 "), "{rest}");
    assert_eq!(other.engine.begun.load(Ordering::SeqCst), 1);
    let figures = world.cluster.figures();
    assert_eq!((figures.again, figures.lost, figures.answered), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_back_goes_on_with_its_work() {
    let world = World::new(ClusterConfig::default());
    let one = world.node("one", 1);
    until("the node", || world.cluster.figures().connected == 1).await;
    let mut events = world.cluster.generate(asked(200)).await.unwrap();
    for _ in 0..20 {
        events.next().await.unwrap().unwrap();
    }
    world.net.cut("one");
    let rest = read(events).await.unwrap();
    assert!(rest.starts_with("20 ") && rest.ends_with("199 "), "{rest}");
    assert_eq!(one.engine.begun.load(Ordering::SeqCst), 1, "it was begun only once");
    let figures = world.cluster.figures();
    assert_eq!((figures.sessions, figures.again, figures.lost), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_given_nothing_and_then_lost() {
    let world = World::new(ClusterConfig::default());
    let _one = world.node("one", 1);
    until("the node", || world.cluster.figures().connected == 1).await;
    world.net.silent.store(true, Ordering::SeqCst);
    let state = || world.cluster.nodes().first().map(|node| node.state);
    until("late", || state() == Some(NodeState::Late)).await;
    let before = Instant::now();
    until("lost", || state() == Some(NodeState::Lost)).await;
    assert!(before.elapsed() < Duration::from_secs(3));
    let error = world.cluster.generate(asked(1)).await.err().unwrap();
    assert!(matches!(error, EngineError::NoModelLoaded { .. }), "{error}");
    world.net.silent.store(false, Ordering::SeqCst);
    until("back", || state() == Some(NodeState::Ready)).await;
    assert_eq!(world.ask(5).await.unwrap(), counted(5));
}

#[tokio::test(start_paused = true)]
async fn a_late_node_gets_its_share_within_seconds() {
    let world = World::new(ClusterConfig::default());
    let _one = world.node("one", 2);
    until("the node", || world.cluster.figures().connected == 1).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let asking = futures::future::join_all((0..400).map(|_| world.ask(20)));
    let joining = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let two = world.node("two", 2);
        tokio::time::sleep(Duration::from_secs(5)).await;
        // From here on both are given the same.
        let before = two.engine.begun.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let share = two.engine.begun.load(Ordering::SeqCst) - before;
        let most = (Duration::from_secs(5).as_millis() / (TOKEN.as_millis() * 21)) as u32 * 2;
        assert!(share >= most * 9 / 10, "{share} of {most}");
    };
    let (answers, ()) = tokio::join!(asking, joining);
    assert!(answers.into_iter().all(|answer| answer.unwrap() == counted(20)));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_go_on_elsewhere_is_broken_off_clearly() {
    let world = World::new(ClusterConfig::default());
    let _one = world.node_with("one", 1, vec![Skill::Chat]);
    until("the node", || world.cluster.figures().connected == 1).await;
    let mut events = world.cluster.generate(asked(50)).await.unwrap();
    events.next().await.unwrap().unwrap();
    world.net.lead_to(None);
    world.net.cut("one");
    let error = read(events).await.unwrap_err();
    assert!(matches!(error, EngineError::BrokeOff(_)), "{error}");
    assert_eq!(world.cluster.figures().open, 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_answer_frees_its_place() {
    let world = World::new(ClusterConfig::default());
    let one = world.node("one", 1);
    until("the node", || world.cluster.figures().connected == 1).await;
    let events = world.cluster.generate(asked(4_000)).await.unwrap();
    assert_eq!(one.engine.running.load(Ordering::SeqCst), 1);
    drop(events);
    until("the engine stops", || one.engine.running.load(Ordering::SeqCst) == 0).await;
    assert_eq!(world.ask(3).await.unwrap(), counted(3));
    assert_eq!(world.cluster.figures().cancelled, 1);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_cannot_begin_is_passed_by() {
    let world = World::new(ClusterConfig::default());
    let (one, two) = (world.node("one", 1), world.node("two", 1));
    until("both nodes", || world.cluster.figures().connected == 2).await;
    for node in [&one, &two] {
        let error = EngineError::Unavailable("warming up".to_owned());
        node.engine.refuse.lock().unwrap().push(error);
    }
    assert_eq!(world.ask(5).await.unwrap(), counted(5));
    let refused = EngineError::refused("prompt", "too odd");
    one.engine.refuse.lock().unwrap().push(refused.clone());
    two.engine.refuse.lock().unwrap().push(refused.clone());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.ask(5).await.unwrap_err(), refused);
}

#[tokio::test(start_paused = true)]
async fn a_draining_node_finishes_and_takes_nothing_new() {
    let world = World::new(ClusterConfig::default());
    let (one, two) = (world.node("one", 1), world.node("two", 1));
    until("both nodes", || world.cluster.figures().connected == 2).await;
    let both = async { tokio::join!(world.ask(100), world.ask(100)) };
    let drained = async {
        tokio::time::sleep(TOKEN * 20).await;
        one.shutdown.begin();
        one.ended.await.unwrap()
    };
    let ((first, second), ended) = tokio::join!(both, drained);
    assert_eq!((first.unwrap(), second.unwrap()), (counted(100), counted(100)));
    assert_eq!(ended, Ended::Drained);
    assert_eq!(world.ask(5).await.unwrap(), counted(5));
    assert_eq!(two.engine.begun.load(Ordering::SeqCst), 2);
    assert_eq!(world.cluster.figures().again, 0);
    assert!(world.cluster.node(&name("one")).is_some_and(|node| node.state == NodeState::Left));
}

#[tokio::test(start_paused = true)]
async fn a_new_controller_drops_what_nobody_waits_for() {
    let mut world = World::new(ClusterConfig::default());
    let one = world.node("one", 1);
    until("the node", || world.cluster.figures().connected == 1).await;
    let events = world.cluster.generate(asked(4_000)).await.unwrap();
    world.start_anew(ClusterConfig::default());
    world.net.cut("one");
    until("it is known anew", || world.cluster.figures().connected == 1).await;
    until("the old work ends", || one.engine.running.load(Ordering::SeqCst) == 0).await;
    assert_eq!(world.ask(5).await.unwrap(), counted(5));
    assert!(one.agent.is_connected());
    drop(events);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_what_waits_and_what_runs() {
    let world = World::new(ClusterConfig::default());
    let one = world.node("one", 1);
    until("the node", || world.cluster.figures().connected == 1).await;
    let mut request = asked(4_000);
    request.context.within = Some(Duration::from_millis(300));
    let before = Instant::now();
    let running = world.cluster.generate(request.clone()).await.unwrap();
    let waiting = world.cluster.generate(request.clone()).await;
    assert_eq!(waiting.err(), Some(EngineError::Late));
    assert_eq!(read(running).await, Err(EngineError::Late));
    assert!(before.elapsed() < Duration::from_millis(900));
    until("the engine stops", || one.engine.running.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn tokens_are_asked_of_a_node() {
    let world = World::new(ClusterConfig::default());
    let error = world.cluster.tokenize("m", "a bc".to_owned()).await.unwrap_err();
    assert!(matches!(error, EngineError::NoModelLoaded { .. }), "{error}");
    let _one = world.node("one", 1);
    until("the node", || world.cluster.figures().connected == 1).await;
    assert_eq!(world.cluster.tokenize("m", "a bc".to_owned()).await.unwrap(), [1, 2]);
    let error = world.cluster.embed("m", vec!["a".to_owned()]).await.unwrap_err();
    assert!(matches!(error, EngineError::Refused { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn odd_nodes_are_told_why() {
    let world = World::new(ClusterConfig::default());
    let hello = |text: &str| serde_json::from_str::<Hello>(text).unwrap();
    let newer = hello(r#"{"node_id":"w","protocol":99}"#);
    assert_eq!(world.cluster.attach(newer).unwrap_err(), Refused::Protocol(99));
    let twice = hello(
        r#"{"node_id":"w","models":[
            {"card":{"name":"m","skills":[],"about":""},"slots":0,"window_tokens":1,
             "memory_tokens":1}]}"#,
    );
    assert!(matches!(world.cluster.attach(twice), Err(Refused::Offer { .. })));
    let plain = hello(r#"{"node_id":"w","capabilities":["glm-4-plus"]}"#);
    assert_eq!(plain.protocol, PROTOCOL);
    let (session, _inbox) = world.cluster.attach(plain.clone()).unwrap();
    let (_, mut second) = world.cluster.attach(plain).unwrap();
    world.cluster.detach(&session);
    assert_eq!(world.cluster.nodes()[0].state, NodeState::Ready, "the newer session counts");
    assert!(second.recv().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_cordoned_node_is_given_nothing() {
    let world = World::new(ClusterConfig::default());
    let (one, two) = (world.node("one", 4), world.node("two", 1));
    until("both nodes", || world.cluster.figures().connected == 2).await;
    assert!(world.cluster.cordon(&name("one"), true));
    assert!(!world.cluster.cordon(&name("nobody"), true));
    for _ in 0..5 {
        world.ask(3).await.unwrap();
    }
    let begun = |node: &super::world::NodeHandle| node.engine.begun.load(Ordering::SeqCst);
    assert_eq!((begun(&one), begun(&two)), (0, 5));
    assert!(world.cluster.cordon(&name("two"), true));
    let error = world.ask(3).await.unwrap_err();
    assert!(error.to_string().contains("held back"), "{error}");
    assert!(world.cluster.cordon(&name("one"), false));
    let queues = world.cluster.queues(10);
    assert_eq!((queues[0].model.as_str(), queues[0].slots), ("m", 5));
}

#[tokio::test(start_paused = true)]
async fn answers_that_make_way_in_slices_stay_whole() {
    let mut config = ClusterConfig::default();
    config.schedule.queue.policy = "mlfq".parse::<PolicyKind>().unwrap();
    let world = World::new(config);
    let (_one, _two) = (world.node("one", 1), world.node("two", 1));
    until("both nodes", || world.cluster.figures().connected == 2).await;
    let answers = futures::future::join_all((0..12).map(|at| world.ask(20 + at))).await;
    for (at, answer) in (0..).zip(answers) {
        assert_eq!(answer.unwrap(), counted(20 + at));
    }
    let figures = world.cluster.figures();
    assert!(figures.preempted >= 12, "{figures:?}");
}

#[tokio::test(start_paused = true)]
async fn an_inventory_says_what_nodes_are_for() {
    let world = World::new(ClusterConfig::default());
    let disk = "[storage]\ndisk-1\n[workers]\none\n[east:children]\nworkers\n";
    world.cluster.take_inventory(Inventory::parse(disk).unwrap());
    let (disk, _one) = (world.node("disk-1", 2), world.node("one", 2));
    until("both nodes", || world.cluster.figures().connected == 2).await;
    world.ask(3).await.unwrap();
    let view = |node: &str| world.cluster.node(&name(node)).unwrap();
    assert_eq!(
        (view("disk-1").role, view("one").groups),
        (NodeRole::Storage, vec!["east".to_owned(), "workers".to_owned()])
    );
    assert_eq!(disk.engine.begun.load(Ordering::SeqCst), 0);
    assert_eq!(world.cluster.listed(), (2, 0));
    let groups: Vec<String> = world.cluster.groups().iter().map(group_line).collect();
    assert_eq!(groups, ["east 1 1 0/2 m", "storage 1 1 0/2 m", "workers 1 1 0/2 m"]);
    // Without it, nodes are what they say.
    world.cluster.take_inventory(Inventory::parse("[workers]\nthree\n").unwrap());
    assert_eq!((view("disk-1").role, view("one").groups), (NodeRole::Worker, Vec::new()));
    assert_eq!(world.cluster.listed(), (1, 1));
    let groups: Vec<String> = world.cluster.groups().iter().map(group_line).collect();
    assert_eq!(groups, ["workers 1 0 0/0 "]);
}

fn group_line(group: &GroupView) -> String {
    let GroupView { name, nodes, ready, busy, slots, models, .. } = group;
    format!("{name} {nodes} {ready} {busy}/{slots} {}", models.join(","))
}

#[tokio::test(start_paused = true)]
async fn the_more_urgent_goes_first() {
    let world = World::new(ClusterConfig::default());
    let _one = world.node("one", 1);
    until("the node", || world.cluster.figures().connected == 1).await;
    let mut first = world.cluster.generate(asked(50)).await.unwrap();
    first.next().await.unwrap().unwrap();
    let ask = |urgency: Urgency| {
        let mut request = asked(20);
        request.context.urgency = urgency;
        world.cluster.generate(request)
    };
    let ended = async |urgency| {
        read(ask(urgency).await.unwrap()).await.unwrap();
        Instant::now()
    };
    let (batch, urgent) = tokio::join!(ended(Urgency::Batch), ended(Urgency::Interactive));
    assert!(urgent < batch);
}

#[tokio::test(start_paused = true)]
async fn a_prompt_goes_where_its_beginning_is_remembered() {
    let world = World::new(ClusterConfig::default());
    let (one, two) = (world.node("one", 4), world.node("two", 4));
    until("both nodes", || world.cluster.figures().connected == 2).await;
    let long = "stock of the blue kettle ".repeat(400);
    let ask = |id: &str| {
        let mut request = asked(2);
        request.input = Input::Text(format!("{long}{id}"));
        request.context.request = id.to_owned();
        world.cluster.generate(request)
    };
    read(ask("first").await.unwrap()).await.unwrap();
    let begun = |node: &NodeHandle| node.engine.begun.load(Ordering::SeqCst);
    let (first, holder, other) =
        if begun(&one) == 1 { ("one", &one, &two) } else { ("two", &two, &one) };
    for _ in 0..4 {
        read(ask("again").await.unwrap()).await.unwrap();
    }
    assert_eq!((begun(holder), begun(other)), (5, 0));
    // Once it is with the other, and the first says that it has forgotten it.
    assert!(world.cluster.cordon(&name(first), true));
    *other.engine.kept.lock().unwrap() = Some(Vec::new());
    read(ask("elsewhere").await.unwrap()).await.unwrap();
    assert!(world.cluster.cordon(&name(first), false));
    *holder.engine.kept.lock().unwrap() = Some(Vec::new());
    *other.engine.kept.lock().unwrap() = Some(vec!["elsewhere".to_owned()]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    for _ in 0..4 {
        read(ask("later").await.unwrap()).await.unwrap();
    }
    assert_eq!((begun(holder), begun(other)), (5, 5));
}
