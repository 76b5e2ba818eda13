//! Sends requests when they are due, whether earlier ones were answered or not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use oag_runtime::Clock;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Requests on their way at once, and so connections; more are not sent and count as failed.
pub(super) const IN_FLIGHT_MAX: usize = 512;
/// An answer that takes longer counts as none.
pub(super) const PATIENCE: Duration = Duration::from_millis(4_000);

type Http = Client<HttpConnector, Empty<Bytes>>;

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shot {
    /// Its place among the arrivals.
    pub(super) arrival: u32,
    /// From when it was due until it was answered or given up.
    pub(super) micros: u32,
    /// Whether it was answered well and in time.
    pub(super) ok: bool,
}

/// The requests of one service that have come to an end.
#[derive(Debug, Clone, Default)]
pub(super) struct Shots(Arc<Mutex<Vec<Shot>>>);

impl Shots {
    fn push(&self, shot: Shot) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(shot);
    }

    /// Those from a place on.
    pub(super) fn since(&self, place: usize) -> Vec<Shot> {
        let shots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shots.get(place..).unwrap_or_default().to_vec()
    }
}

/// Where and when requests are sent.
#[derive(Clone)]
pub(super) struct Lane {
    /// Host and port of a balancer.
    pub(super) address: String,
    /// Moments in microseconds from `start`.
    pub(super) arrivals: Arc<Vec<u64>>,
    /// The first moment, on the monotonic clock.
    pub(super) start: Duration,
    /// Time.
    pub(super) clock: Arc<dyn Clock>,
    /// What became of them.
    pub(super) shots: Shots,
}

impl Lane {
    /// Sends every request, then waits for the last answers.
    pub(super) async fn play(self) -> Result<(), String> {
        let uri: Uri =
            format!("http://{}/work", self.address).parse().map_err(|e| format!("{e}"))?;
        let http = client();
        let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let mut under_way = JoinSet::new();
        for (arrival, moment) in self.arrivals.iter().enumerate() {
            let due = self.start + Duration::from_micros(*moment);
            let early = due.saturating_sub(self.clock.monotonic());
            if !early.is_zero() {
                tokio::time::sleep(early).await;
            }
            while under_way.try_join_next().is_some() {}
            let arrival = arrival as u32;
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                self.shots.push(Shot { arrival, micros: micros(PATIENCE), ok: false });
                continue;
            };
            let (http, uri) = (http.clone(), uri.clone());
            let (clock, shots) = (Arc::clone(&self.clock), self.shots.clone());
            under_way.spawn(async move {
                let left = (due + PATIENCE).saturating_sub(clock.monotonic());
                let answered = tokio::time::timeout(left, ask(&http, uri)).await;
                let took = clock.monotonic().saturating_sub(due);
                let ok = answered == Ok(true);
                // Failing fast is no low latency.
                let took = if ok { took } else { took.max(PATIENCE) };
                shots.push(Shot { arrival, micros: micros(took), ok });
                drop(place);
            });
        }
        while under_way.join_next().await.is_some() {}
        Ok(())
    }
}

fn client() -> Http {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(Duration::from_secs(1)));
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_secs(20))
        .pool_max_idle_per_host(IN_FLIGHT_MAX)
        .pool_timer(TokioTimer::new())
        .build(connector)
}

/// Whether the answer was good and came whole.
async fn ask(http: &Http, uri: Uri) -> bool {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri;
    match http.request(request).await {
        Ok(answer) => {
            let good = answer.status() == StatusCode::OK;
            answer.into_body().collect().await.is_ok() && good
        }
        Err(_) => false,
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use oag_runtime::SystemClock;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request after the other on each connection, each after a wait.
    async fn slow_server(wait: Duration, status: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut all = JoinSet::new();
        let accept = async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                all.spawn(async move {
                    let mut bytes = [0; 1_024];
                    while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                        tokio::time::sleep(wait).await;
                        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok");
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
            Ok::<(), String>(())
        };
        let supervisor = oag_runtime::Supervisor::new(oag_runtime::ShutdownHandle::new());
        let (kind, log) = (oag_runtime::TaskKind::Intake, oag_runtime::OnError::Log);
        supervisor.spawn("test server", kind, log, accept);
        address
    }

    async fn play(address: String, arrivals: Vec<u64>) -> Vec<Shot> {
        let clock: Arc<dyn Clock> = SystemClock::shared();
        let start = clock.monotonic();
        let shots = Shots::default();
        let arrivals = Arc::new(arrivals);
        let lane = Lane { address, arrivals, start, clock, shots: shots.clone() };
        lane.play().await.unwrap();
        shots.since(0)
    }

    #[tokio::test]
    async fn requests_are_sent_though_earlier_ones_wait() {
        let address = slow_server(Duration::from_millis(300), "200 OK").await;
        let shots = play(address, (0..20).map(|at| at * 1_000).collect()).await;
        assert_eq!(shots.len(), 20);
        assert!(shots.iter().all(|shot| shot.ok && shot.micros >= 300_000), "{shots:?}");
        // One after the other would have taken six seconds.
        assert!(shots.iter().all(|shot| shot.micros < 2_000_000), "{shots:?}");
    }

    #[tokio::test]
    async fn lateness_of_the_sender_itself_is_counted() {
        let address = slow_server(Duration::ZERO, "200 OK").await;
        let clock: Arc<dyn Clock> = SystemClock::shared();
        let shots = Shots::default();
        // Due before it could be sent.
        tokio::time::sleep(Duration::from_millis(60)).await;
        let arrivals = Arc::new(vec![0]);
        let start = clock.monotonic().saturating_sub(Duration::from_millis(50));
        let lane = Lane { address, arrivals, start, clock, shots: shots.clone() };
        lane.play().await.unwrap();
        assert!(shots.since(0)[0].micros >= 50_000);
    }

    #[tokio::test]
    async fn refusals_and_nobody_there_count_as_failed_and_as_slow() {
        let refusing = slow_server(Duration::ZERO, "503 Service Unavailable").await;
        for address in [refusing, "127.0.0.1:9".to_owned()] {
            let shots = play(address, vec![0, 1_000]).await;
            assert_eq!(shots.len(), 2);
            assert!(shots.iter().all(|shot| !shot.ok && shot.micros >= micros(PATIENCE)));
        }
    }
}
