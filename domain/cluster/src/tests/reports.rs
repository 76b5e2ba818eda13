//! What must hold for what nodes measure, however connections break.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::{SinkExt, StreamExt, sink, stream};
use oag_types::{Labels, Timestamp};

use super::world::{NodeHandle, World, name, until};
use crate::protocol::{FromNode, Hello, Reading, Report, SAMPLES_MAX, ToNode, Welcome};
use crate::{AgentConfig, ClusterConfig, Dial, DialError, KeptReport, KeptReports, Spool, Wire};

/// A sample whose value is its place.
fn sample(number: u32) -> Reading {
    Reading {
        service: None,
        metric: "measured".to_owned(),
        value: f64::from(number),
        at: Timestamp::from_millis(1_780_000_000_000 + i64::from(number)),
        labels: Labels::new(),
    }
}

fn report(node: &NodeHandle, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        node.agent.report(vec![sample(number)]);
    }
}

/// The values that were handed on, in their order.
fn taken(world: &World) -> Vec<u32> {
    world.taken.lock().unwrap().iter().map(|(_, sample)| sample.value as u32).collect()
}

fn reporter(world: &World, bytes_max: usize) -> NodeHandle {
    let config = AgentConfig { report_bytes_max: bytes_max, ..AgentConfig::new(name("one")) };
    world.node_as(config, 1, Vec::new(), |agent| agent)
}

/// Bytes of a report of one of the samples above, of three digits.
fn one_report() -> usize {
    serde_json::to_string(&[sample(100)]).unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn reports_are_handed_on_in_their_order_and_acknowledged() {
    let world = World::new(ClusterConfig::default());
    let one = world.node("one", 1);
    report(&one, 0..100);
    until("all came", || taken(&world).len() == 100).await;
    assert_eq!(taken(&world), (0..100).collect::<Vec<_>>());
    assert!(world.taken.lock().unwrap().iter().all(|(node, _)| *node == name("one")));
    until("all are acknowledged", || one.agent.report_figures().waiting == 0).await;
    let figures = one.agent.report_figures();
    assert_eq!((figures.made, figures.acknowledged, figures.bytes), (100, 100, 0));
    assert_eq!((figures.again, figures.dropped), (0, 0));
    let figures = world.cluster.figures();
    assert_eq!((figures.reports, figures.samples, figures.reports_again), (100, 100, 0));
}

#[tokio::test(start_paused = true)]
async fn after_a_break_nothing_is_lost_and_nothing_comes_twice() {
    let world = World::new(ClusterConfig::default());
    let one = world.node("one", 1);
    until("the node", || one.agent.is_connected()).await;
    // The controller takes these, but its answers are lost with the connection.
    world.net.mute.store(true, Ordering::SeqCst);
    report(&one, 0..10);
    until("they came", || taken(&world).len() == 10).await;
    world.net.lead_to(None);
    world.net.cut("one");
    report(&one, 10..20);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(one.agent.report_figures().waiting, 20);
    world.net.mute.store(false, Ordering::SeqCst);
    world.net.lead_to(Some(world.cluster.clone()));
    until("all are acknowledged", || one.agent.report_figures().waiting == 0).await;
    assert_eq!(taken(&world), (0..20).collect::<Vec<_>>());
    assert_eq!((world.cluster.figures().reports, world.cluster.figures().reports_again), (20, 10));
    // More may have been on their way when the connection broke.
    assert!((10..=16).contains(&one.agent.report_figures().again));
}

#[tokio::test(start_paused = true)]
async fn lost_acknowledgements_are_made_up_for_without_a_new_session() {
    let world = World::new(ClusterConfig::default());
    let one = world.node("one", 1);
    until("the node", || one.agent.is_connected()).await;
    world.net.mute.store(true, Ordering::SeqCst);
    report(&one, 0..40);
    // As much as may be under way at once, and no more.
    until("they came", || taken(&world).len() == 16).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(taken(&world).len(), 16);
    world.net.mute.store(false, Ordering::SeqCst);
    until("all came", || taken(&world).len() == 40).await;
    assert_eq!(taken(&world), (0..40).collect::<Vec<_>>());
    assert_eq!(world.cluster.figures().sessions, 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_drops_the_oldest_and_says_so() {
    let world = World::new(ClusterConfig::default());
    world.net.lead_to(None);
    let one = reporter(&world, 10 * one_report());
    report(&one, 100..125);
    let figures = one.agent.report_figures();
    assert_eq!((figures.made, figures.waiting, figures.dropped), (25, 10, 15));
    assert!(figures.bytes <= figures.bytes_max, "{figures:?}");
    world.net.lead_to(Some(world.cluster.clone()));
    until("what was kept came", || taken(&world).len() == 10).await;
    assert_eq!(taken(&world), (115..125).collect::<Vec<_>>());
    assert_eq!(world.cluster.figures().samples_dropped, 15);
    // Told once, though each report tells it.
    report(&one, 125..130);
    until("more came", || taken(&world).len() == 15).await;
    assert_eq!(world.cluster.figures().samples_dropped, 15);
}

#[tokio::test(start_paused = true)]
async fn samples_that_cannot_be_reported_are_counted_and_harm_nothing() {
    let world = World::new(ClusterConfig::default());
    let one = reporter(&world, 4 * SAMPLES_MAX * one_report());
    one.agent.report(vec![Reading { value: f64::NAN, ..sample(0) }, sample(1)]);
    let long = Reading { metric: "x".repeat(5 * SAMPLES_MAX * one_report()), ..sample(2) };
    one.agent.report(vec![long]);
    // More than a report has are several reports.
    one.agent.report((0..SAMPLES_MAX as u32 + 1).map(sample).collect());
    until("all came", || taken(&world).len() == SAMPLES_MAX + 2).await;
    assert_eq!((one.agent.report_figures().made, one.agent.report_figures().dropped), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_started_anew_begins_another_run() {
    let world = World::new(ClusterConfig::default());
    let first = world.node("one", 1);
    report(&first, 0..3);
    until("they came", || taken(&world).len() == 3).await;
    first.shutdown.begin();
    until("it left", || world.cluster.figures().connected == 0).await;
    let second = world.node("one", 1);
    report(&second, 3..6);
    until("these came, too", || taken(&world).len() == 6).await;
    assert_eq!(taken(&world), (0..6).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_drains_reports_what_it_has_first() {
    let world = World::new(ClusterConfig::default());
    let one = world.node("one", 1);
    until("the node", || one.agent.is_connected()).await;
    report(&one, 0..50);
    one.shutdown.begin();
    until("all came", || taken(&world).len() == 50).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_controller_gets_what_the_old_one_had_not_acknowledged() {
    let mut world = World::new(ClusterConfig::default());
    let one = world.node("one", 1);
    report(&one, 0..5);
    until("all are acknowledged", || one.agent.report_figures().acknowledged == 5).await;
    world.net.lead_to(None);
    world.net.cut("one");
    report(&one, 5..10);
    world.start_anew(ClusterConfig::default());
    until("the rest came", || taken(&world).len() == 10).await;
    assert_eq!(taken(&world), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn odd_reports_end_the_session() {
    let world = World::new(ClusterConfig::default());
    let hello: Hello = serde_json::from_str(r#"{"node_id":"w"}"#).unwrap();
    let (session, mut inbox) = world.cluster.attach(hello).unwrap();
    let samples = (0..=SAMPLES_MAX as u32).map(sample).collect();
    let report = Report { run: 1, sequence: 1, dropped: 0, samples };
    world.cluster.take(&session, FromNode::Report(report.clone()));
    assert!(matches!(inbox.recv().await, Some(ToNode::Welcome(Welcome { reports: true, .. }))));
    assert!(matches!(inbox.recv().await, Some(ToNode::Close { again: true, .. })));
    assert!(inbox.recv().await.is_none() && taken(&world).is_empty());
    // What a session says after its end is not listened to.
    world.cluster.take(&session, FromNode::Report(Report { samples: Vec::new(), ..report }));
    assert_eq!(world.cluster.figures().reports, 0);
}

/// What a spool was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Spool for Told {
    fn keep(&mut self, report: &KeptReport) -> std::io::Result<()> {
        self.0.lock().unwrap().push(format!("{}:{}", report.run, report.sequence));
        Ok(())
    }

    fn forget(&mut self, up_to: u64, dropped: u64) -> std::io::Result<()> {
        self.0.lock().unwrap().push(format!("-{up_to} {dropped}"));
        Err(std::io::Error::other("the disk is full"))
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_goes_on_under_its_numbers() {
    let world = World::new(ClusterConfig::default());
    world.net.lead_to(None);
    let text = serde_json::to_string(&[sample(100)]).unwrap();
    let kept = |sequence| KeptReport { run: 7, sequence, samples: 1, text: text.clone().into() };
    let kept = KeptReports { last: Some((7, 5)), dropped: 2, reports: vec![kept(4), kept(5)] };
    let told = Told::default();
    let spool = Box::new(told.clone());
    let config =
        AgentConfig { report_bytes_max: 2 * one_report(), ..AgentConfig::new(name("one")) };
    let one = world.node_as(config, 1, Vec::new(), |agent| agent.with_spool(spool, kept));
    report(&one, [101]);
    world.net.lead_to(Some(world.cluster.clone()));
    until("both came", || taken(&world).len() == 2).await;
    until("both are acknowledged", || one.agent.report_figures().waiting == 0).await;
    assert_eq!(taken(&world), [100, 101]);
    // The first of three made room.
    assert_eq!(told.0.lock().unwrap()[..2], ["7:6", "-4 3"]);
    assert_eq!(told.0.lock().unwrap().last().unwrap(), "-6 3");
    assert_eq!(world.cluster.figures().samples_dropped, 3);
    assert!(one.agent.report_figures().file_errors >= 2);
}

/// A controller of a version that knows no reports.
#[derive(Clone, Default)]
struct Old(Arc<Mutex<Vec<FromNode>>>);

#[async_trait]
impl Dial for Old {
    async fn dial(&self, _: Hello) -> Result<Wire, DialError> {
        let welcome: Welcome =
            serde_json::from_str(r#"{"protocol":1,"epoch":1,"kept":[]}"#).unwrap();
        let welcome = stream::iter([Ok(ToNode::Welcome(welcome))]);
        let said = welcome.chain(stream::pending()).boxed();
        let heard = sink::unfold(self.0.clone(), async |heard, message| {
            heard.lock().unwrap().push(message);
            Ok::<_, String>(heard)
        });
        Ok(Wire { said, told: Box::pin(heard.sink_map_err(|why: String| why)) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_knows_no_reports_is_told_none() {
    let world = World::new(ClusterConfig::default());
    let old = Old::default();
    let one = world.node_over(Arc::new(old.clone()), AgentConfig::new(name("one")));
    until("it beats", || !old.0.lock().unwrap().is_empty()).await;
    report(&one, 0..5);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let beat = |message: &FromNode| matches!(message, FromNode::Heartbeat { .. });
    assert!(old.0.lock().unwrap().iter().all(beat));
    assert_eq!(one.agent.report_figures().waiting, 5);
}
