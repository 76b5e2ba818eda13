//! Idle nodes: sessions held open with their heartbeats, and what each costs the controller.
//!
//! The controller's part runs in a process of its own, so that its memory and processor time are
//! its own; the nodes are connections of this one.

use std::io::{BufRead as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use futures::{SinkExt as _, StreamExt as _};
use oag_api::ApiConfig;
use oag_cluster::protocol::{FromNode, Hello, Load, Reading};
use oag_cluster::{Cluster, ClusterConfig, ClusterParts, Dial as _, Wire};
use oag_link::{Controller, SocketDial};
use oag_nodes::{NodesConfig, NodesParts};
use oag_runtime::{OnError, RandomIds, ShutdownHandle, Supervisor, SystemClock, TaskKind};
use oag_schedule::length::Predictor;
use oag_types::NodeName;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::Common;
use crate::figures::count;
use crate::machine::Meter;
use crate::report::{Goal, Report};

/// How many, and how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct Size {
    /// Nodes with a session; 10,000, or 100 with --quick.
    #[arg(long)]
    nodes: Option<usize>,
    /// Seconds to hold them; 30, or 2 with --quick.
    #[arg(long)]
    seconds: Option<u64>,
}

impl Size {
    pub(crate) const fn new() -> Self {
        Self { nodes: None, seconds: None }
    }
}

/// Connections that are opened at once.
const OPENING: usize = 64;

/// Measures it.
pub(crate) async fn measure(size: Size, common: &Common) -> anyhow::Result<Report> {
    let nodes = size.nodes.unwrap_or(if common.quick { 100 } else { 10_000 });
    let held = Duration::from_secs(size.seconds.unwrap_or(if common.quick { 2 } else { 30 }));
    let beat = Duration::from_millis(if common.quick { 500 } else { 5_000 });
    let setting = format!(
        "{nodes} nodes without models over WebSocket on loopback, a heartbeat each {} s, held {} s",
        beat.as_secs_f64(),
        held.as_secs()
    );
    let mut report = Report::new("nodes", setting);
    let server = Server::start()?;
    let before = server.figures()?;
    let heard = Arc::new(AtomicU64::new(0));
    let mut sessions = JoinSet::new();
    let opening = Arc::new(tokio::sync::Semaphore::new(OPENING));
    for number in 0..nodes {
        let (controller, heard) = (server.controller.clone(), Arc::clone(&heard));
        let opening = Arc::clone(&opening);
        sessions.spawn(async move {
            let place = opening.acquire_owned().await?;
            let hello = serde_json::json!({
                "node_id": format!("node-{number}"), "heartbeat_interval": beat.as_millis() as u64,
            });
            let hello: Hello = serde_json::from_value(hello)?;
            let wire = SocketDial::new(controller).dial(hello).await?;
            drop(place);
            hold(wire, beat, &heard).await
        });
    }
    // All have come when the last has its place; then they are held.
    while server.connected()? < nodes {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Some(ended) = sessions.try_join_next() {
            ended??;
        }
    }
    let opened = server.figures()?;
    tokio::time::sleep(held).await;
    let after = server.figures()?;
    let connected = server.connected()?;
    report.promise("sessions held", count(connected), "", Goal::AtLeast(count(nodes)));
    report.row("heartbeats answered", count(usize::try_from(heard.load(Ordering::Relaxed))?), "");
    report.row("memory of the controller without nodes", before.resident_mb, "MB");
    report.row("memory of the controller with them", after.resident_mb, "MB");
    let each = 1e3 * (after.resident_mb - before.resident_mb).max(0.0) / count(nodes);
    report.promise("memory of a session", each, "kB", Goal::AtMost(40.0));
    let busy = (after.cpu_s - opened.cpu_s) / held.as_secs_f64();
    report.row("processor of the controller", 100.0 * busy, "% of a core");
    sessions.abort_all();
    Ok(report)
}

/// Beats and listens until it is aborted.
async fn hold(wire: Wire, beat: Duration, heard: &AtomicU64) -> anyhow::Result<()> {
    let Wire { mut said, mut told } = wire;
    let mut beats = tokio::time::interval(beat);
    loop {
        tokio::select! {
            _ = beats.tick() => {
                let message = FromNode::Heartbeat { load: Load::default() };
                told.send(message).await.map_err(anyhow::Error::msg)?;
            }
            message = said.next() => {
                message.context("a session ended")?.map_err(anyhow::Error::msg)?;
                heard.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The controller's process; ended with this value.
struct Server {
    child: Child,
    controller: Controller,
    figures: u16,
}

/// What it uses.
struct Used {
    resident_mb: f64,
    cpu_s: f64,
}

impl Server {
    fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("nodes-controller")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("no output")?;
        let mut line = String::new();
        std::io::BufReader::new(out).read_line(&mut line)?;
        let (port, figures) =
            line.trim().split_once(' ').context("the controller did not start")?;
        let controller = format!("http://127.0.0.1:{port}").parse()?;
        Ok(Self { child, controller, figures: figures.parse()? })
    }

    fn figures(&self) -> anyhow::Result<Used> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes: f64 =
            line.context("no VmRSS")?.trim().trim_end_matches("kB").trim().parse()?;
        let cpu_s = Meter::of(self.child.id()).read()?.cpu_s;
        Ok(Used { resident_mb: kilobytes * 1.024e-3, cpu_s })
    }

    /// Nodes it knows as connected.
    fn connected(&self) -> anyhow::Result<usize> {
        let mut text = String::new();
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.figures))?;
        std::io::Read::read_to_string(&mut stream, &mut text)?;
        Ok(text.trim().parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The controller's part, in a process of its own: prints its port and that of its count.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let shutdown = ShutdownHandle::new();
    let supervisor = Supervisor::new(shutdown.clone());
    let cluster = Cluster::new(ClusterParts {
        config: ClusterConfig::default(),
        predictor: Predictor::default(),
        epoch: 1,
        clock: SystemClock::shared(),
        ids: Arc::new(RandomIds),
        pen: None,
        reports: Arc::new(|_: &NodeName, _: Vec<Reading>| {}),
    })?;
    let run = cluster.clone().run(shutdown.clone());
    supervisor.spawn("fleet", TaskKind::Drains, OnError::Log, run);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let counts = TcpListener::bind("127.0.0.1:0").await?;
    let ports = (listener.local_addr()?.port(), counts.local_addr()?.port());
    writeln!(std::io::stdout(), "{} {}", ports.0, ports.1)?;
    let config = NodesConfig::default();
    let cluster_of = cluster.clone();
    let nodes = NodesParts { cluster: cluster_of, config, gate: None, shutdown: shutdown.clone() };
    let router = oag_nodes::plain(nodes);
    let config = ApiConfig::default();
    let serve = async move { oag_api::serve(listener, router, &config, shutdown).await };
    supervisor.spawn("nodes", TaskKind::Drains, OnError::Log, serve);
    loop {
        let (mut stream, _) = counts.accept().await?;
        let text = cluster.figures().connected.to_string();
        tokio::io::AsyncWriteExt::write_all(&mut stream, text.as_bytes()).await?;
    }
}
