//! Settings and limits of the local executor.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What happens to the replicas when the product drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDrain {
    /// They are stopped; the wanted state stays, so that the next start brings them back.
    #[default]
    Stop,
    /// They are left running, to be adopted by the next start.
    Keep,
}

/// Ports for replicas and balancers. The default lies below the kernel's range for outgoing
/// connections, so that a connection cannot take the port of a replica that is starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl Default for PortRange {
    fn default() -> Self {
        Self { first: 20_000, last: 31_999 }
    }
}

/// Settings and limits of the local executor. All times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalConfig {
    /// Where the product keeps its data; the executor uses the folder `local` in it.
    pub data_dir: PathBuf,
    /// The address balancers listen on.
    pub balancer_host: String,
    /// Ports given to replicas, and to balancers whose service does not ask for one.
    pub port_range: PortRange,
    /// Most replicas wanted over all services.
    pub max_replicas_total: u32,
    /// Most replicas started and not yet ready, per service.
    pub starting_max: u32,
    /// Variables of the product's own environment that replicas and scripts get.
    pub env_inherit: Vec<String>,
    /// Lines of output kept per service.
    pub log_lines_kept: usize,
    /// Size at which an output file of a replica is emptied.
    pub log_file_bytes_max: u64,
    /// How long a replica may take until its first healthy answer.
    pub start_timeout_ms: u64,
    /// How long requests in flight may take when a replica is retired, and how long it then has
    /// to end by itself before it is killed.
    pub stop_grace_ms: u64,
    /// How often a replica's health is asked, unless its service says otherwise.
    pub health_interval_ms: u64,
    /// How long a health answer may take, unless the service says otherwise.
    pub health_timeout_ms: u64,
    /// Failed health checks in a row after which a replica gets no requests.
    pub health_failures: u32,
    /// How long a replica may stay unhealthy before it is replaced.
    pub unhealthy_kill_ms: u64,
    /// How often the actual state is compared with the wanted one.
    pub reconcile_interval_ms: u64,
    /// How often processes with a launch marker but without a record are looked for.
    pub stray_scan_ms: u64,
    /// First wait before a crashed replica is replaced; doubles with each crash in a row.
    pub backoff_first_ms: u64,
    /// Longest wait before a crashed replica is replaced.
    pub backoff_max_ms: u64,
    /// Crashes in a row that are reported as a crash loop.
    pub crash_loop_after: u32,
    /// How long a replica must be ready for its crash not to count as one in a row.
    pub stable_ms: u64,
    /// Connections a balancer accepts at once; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Requests of a service in flight at once.
    pub in_flight_max: usize,
    /// Requests of a service that wait for a replica.
    pub queue_max: usize,
    /// How long a request waits for a replica.
    pub queue_wait_ms: u64,
    /// How long connecting to a replica may take.
    pub connect_timeout_ms: u64,
    /// How long a replica may take until it answers with headers.
    pub response_timeout_ms: u64,
    /// How long an unused connection to a replica is kept; keep it below the replicas' own limit.
    pub pool_idle_ms: u64,
    /// Unused connections kept per replica.
    pub pool_idle_max: usize,
    /// How long a client may take to send the headers of a request.
    pub header_timeout_ms: u64,
    /// Bytes a request's headers may have.
    pub header_bytes_max: usize,
    /// Idempotency keys remembered per service.
    pub keys_kept: usize,
    /// Versions remembered per service, for rolling back.
    pub versions_kept: usize,
    /// Scripts of a service that run at once.
    pub scripts_parallel: usize,
    /// Bytes of a script's output kept.
    pub script_output_max: usize,
    /// Reports of what happened, such as a breaker that opened, kept for those who read them.
    pub reports_kept: usize,
    /// What happens to the replicas when the product drains.
    pub on_drain: OnDrain,
}

impl Default for LocalConfig {
    fn default() -> Self {
        let inherit = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"];
        Self {
            data_dir: PathBuf::from("data"),
            balancer_host: "127.0.0.1".to_owned(),
            port_range: PortRange::default(),
            max_replicas_total: 200,
            starting_max: 8,
            env_inherit: inherit.map(str::to_owned).to_vec(),
            log_lines_kept: 2_000,
            log_file_bytes_max: 8 << 20,
            start_timeout_ms: 30_000,
            stop_grace_ms: 10_000,
            health_interval_ms: 1_000,
            health_timeout_ms: 2_000,
            health_failures: 3,
            unhealthy_kill_ms: 30_000,
            reconcile_interval_ms: 200,
            stray_scan_ms: 60_000,
            backoff_first_ms: 200,
            backoff_max_ms: 60_000,
            crash_loop_after: 3,
            stable_ms: 10_000,
            connections_max: 4_096,
            in_flight_max: 2_048,
            queue_max: 512,
            queue_wait_ms: 5_000,
            connect_timeout_ms: 1_000,
            response_timeout_ms: 60_000,
            pool_idle_ms: 4_000,
            pool_idle_max: 256,
            header_timeout_ms: 30_000,
            header_bytes_max: 64 << 10,
            keys_kept: 256,
            versions_kept: 20,
            scripts_parallel: 2,
            script_output_max: 64 << 10,
            reports_kept: 1_024,
            on_drain: OnDrain::Stop,
        }
    }
}
