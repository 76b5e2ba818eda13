//! Signals in, series out.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use oag_guard::permissions;
use oag_ops::{IngestReport, SeriesFilter};
use oag_types::{Code, Labels, Problem, SeriesKey, Signal, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::aside;
use super::plans::service_of;
use crate::auth::Session;
use crate::doc::{Operation, Routes};
use crate::http::extract::{Body, Params, Raw, json, json_with, parse_json};
use crate::http::problem::{Answer, Failure};
use crate::shape::Shape;
use crate::state::Api;
use crate::wire::{
    BackfillDone, BackfillRequest, SeriesKeyView, SeriesList, SeriesScoreView, SeriesWindow,
    SignalError, SignalRequest, SignalsTaken,
};

const ERRORS_SHOWN_MAX: usize = 1_000;
const WINDOW_SAMPLES_MAX: usize = 10_000;
const SERIES_MAX: usize = 1_000;

pub(super) fn routes(routes: Routes) -> Routes {
    let send = Operation::post("/api/v1/signals", "sendSignals", "Send signals")
        .about(
            "One signal, an array of them, or one per line (NDJSON); plain or with gzip. Each is \
             judged by itself, and the answer counts every one: 202 when at least one was taken \
             or known already, a problem when none was.",
        )
        .permission(permissions::SIGNAL_WRITE)
        .bulk()
        .reads::<SignalRequest>()
        .reads_media("application/x-ndjson")
        .answers_with::<SignalsTaken>(StatusCode::ACCEPTED);
    let backfill = Operation::post("/api/v1/signals/backfill", "backfill", "Import a series' past")
        .permission(permissions::SIGNAL_WRITE)
        .bulk()
        .reads::<BackfillRequest>()
        .answers::<BackfillDone>();
    let labels = "Labels, as `service=order,az=a` or as a JSON object.";
    let list = Operation::get("/api/v1/series", "listSeries", "The series there are")
        .permission(permissions::SIGNAL_VIEW)
        .parameter("service", Shape::Text, "Only series of this service.")
        .parameter("prefix", Shape::Text, "Only metric names that begin with this.")
        .parameter("limit", Shape::COUNT, "Most series, 1 to 1,000.")
        .answers::<SeriesList>();
    let window = Operation::get("/api/v1/series/window", "getSeriesWindow", "Samples of a series")
        .about("At most 10,000 at once; `next_from` says where to go on.")
        .permission(permissions::SIGNAL_VIEW)
        .needs("name", Shape::Text, "Metric name.")
        .parameter("labels", Shape::Text, labels)
        .needs("from", Shape::Text, "The first moment, RFC 3339 or milliseconds.")
        .parameter("to", Shape::Text, "The end, not included; now when left out.")
        .answers::<SeriesWindow>();
    let score = Operation::get("/api/v1/series/score", "getSeriesScore", "How unusual it is now")
        .permission(permissions::SIGNAL_VIEW)
        .needs("name", Shape::Text, "Metric name.")
        .parameter("labels", Shape::Text, labels)
        .answers::<SeriesScoreView>();
    routes
        .tag("signals")
        .add(send, send_signals)
        .add(backfill, backfill_series)
        .add(list, list_series)
        .add(window, get_window)
        .add(score, get_score)
}

async fn send_signals(State(api): State<Api>, session: Session, raw: Raw) -> Answer<Response> {
    session.require(&api, permissions::SIGNAL_WRITE, None).await?;
    let items = items_of(&raw)?;
    let count = items.len();
    let now = api.clock.now();
    let (mut signals, mut places, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for (index, item) in items.into_iter().enumerate() {
        match item {
            Ok(request) => {
                signals.push(request.signal(now));
                places.push(index);
            }
            Err(problem) => refused.push((index, problem)),
        }
    }
    let hub = api.hub.clone();
    aside(move || {
        let mut report = hub.ingest(&session.tenant, &signals);
        let rejected = std::mem::take(&mut report.rejected);
        let place = |at: usize| places.get(at).copied().unwrap_or(at);
        refused.extend(rejected.into_iter().map(|(at, problem)| (place(at), problem)));
        refused.sort_unstable_by_key(|(index, _)| *index);
        if count > 0 && refused.len() == count {
            return Err(nothing_taken(refused));
        }
        Ok(json_with(StatusCode::ACCEPTED, &taken(&report, refused)))
    })
    .await
}

/// When every signal was refused, the first reason decides on the code.
fn nothing_taken(refused: Vec<(usize, Problem)>) -> Failure {
    let count = refused.len();
    let mut errors = refused.into_iter();
    let Some((_, mut first)) = errors.next() else {
        return Failure::new(Code::INVALID_INPUT, "there are no signals in the body");
    };
    let named = |index: usize, problem: &Problem| {
        let field = problem.fields.first().map(|(field, _)| format!(".{field}"));
        let message = problem.fields.first().map_or(&problem.detail, |(_, message)| message);
        (format!("[{index}]{}", field.unwrap_or_default()), message.clone())
    };
    let mut fields = vec![named(0, &first)];
    fields.extend(errors.take(99).map(|(index, problem)| named(index, &problem)));
    first.detail = format!("none of the {count} signals was taken; the first: {}", first.detail);
    first.fields = fields;
    first.into()
}

fn taken(report: &IngestReport, refused: Vec<(usize, Problem)>) -> SignalsTaken {
    let rejected = refused.len();
    let errors = refused.into_iter().take(ERRORS_SHOWN_MAX).map(|(index, problem)| {
        let code = problem.code.to_string();
        match problem.fields.into_iter().next() {
            Some((field, message)) => SignalError { index, code, field: Some(field), message },
            None => SignalError { index, code, field: None, message: problem.detail },
        }
    });
    SignalsTaken {
        accepted: report.accepted,
        duplicates: report.duplicates,
        late: report.late,
        rejected,
        new_series: report.new_series,
        errors: errors.collect(),
        errors_left_out: rejected.saturating_sub(ERRORS_SHOWN_MAX),
    }
}

type Item = Result<SignalRequest, Problem>;

fn items_of(raw: &Raw) -> Answer<Vec<Item>> {
    match raw.media.as_str() {
        "application/json" => match parse_json::<Value>(&raw.bytes)? {
            Value::Array(items) => Ok(items.into_iter().map(item_of).collect()),
            one @ Value::Object(_) => Ok(vec![item_of(one)]),
            _ => Err(Failure::new(Code::INVALID_INPUT, "send a signal or an array of signals")),
        },
        "application/x-ndjson" | "application/jsonl" => {
            let lines = raw.bytes.split(|byte| *byte == b'\n');
            let filled = lines.filter(|line| !line.trim_ascii().is_empty());
            Ok(filled.map(line_of).collect())
        }
        other => Err(Failure::unsupported_media(format!(
            "send application/json or application/x-ndjson; this is '{other}'"
        ))),
    }
}

fn line_of(line: &[u8]) -> Item {
    let value: Value = serde_json::from_slice(line)
        .map_err(|error| Problem::new(Code::INVALID_INPUT, format!("no JSON: {error}")))?;
    item_of(value)
}

fn item_of(value: Value) -> Item {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        match path.as_str() {
            "." | "?" => Problem::new(Code::INVALID_INPUT, message),
            path => Problem::field(path, message),
        }
    })
}

async fn backfill_series(
    State(api): State<Api>,
    session: Session,
    Body(request): Body<BackfillRequest>,
) -> Answer<Response> {
    session.require(&api, permissions::SIGNAL_WRITE, None).await?;
    let key = SeriesKey { name: request.name, labels: request.labels };
    let hub = api.hub.clone();
    aside(move || {
        let report = hub.backfill(&session.tenant, &key, &request.samples)?;
        Ok(json(&BackfillDone::from(report)))
    })
    .await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesParams {
    service: Option<String>,
    prefix: Option<String>,
    limit: Option<usize>,
}

async fn list_series(
    State(api): State<Api>,
    session: Session,
    Params(params): Params<SeriesParams>,
) -> Answer<Response> {
    let service = params.service.as_deref().map(service_of).transpose()?;
    session.require_on(&api, permissions::SIGNAL_VIEW, service.as_ref()).await?;
    let limit = params.limit.unwrap_or(SERIES_MAX).clamp(1, SERIES_MAX);
    let filter = SeriesFilter { service, name_prefix: params.prefix, limit: Some(limit + 1) };
    let mut keys = api.hub.series(&session.tenant, &filter);
    let more = keys.len() > limit;
    keys.truncate(limit);
    Ok(json(&SeriesList { items: keys.into_iter().map(SeriesKeyView::from).collect(), more }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowParams {
    name: String,
    labels: Option<String>,
    from: String,
    to: Option<String>,
}

async fn get_window(
    State(api): State<Api>,
    session: Session,
    Params(params): Params<WindowParams>,
) -> Answer<Response> {
    let key = key_of(params.name, params.labels.as_deref())?;
    session.require_on(&api, permissions::SIGNAL_VIEW, key.service().as_ref()).await?;
    let from = moment("from", &params.from)?;
    let to = params.to.as_deref().map(|to| moment("to", to)).transpose()?;
    let to = to.unwrap_or_else(|| api.clock.now());
    let hub = api.hub.clone();
    aside(move || {
        let mut samples = hub.window(&session.tenant, &key, from, to);
        let next_from = samples.get(WINDOW_SAMPLES_MAX).map(|sample| sample.at);
        samples.truncate(WINDOW_SAMPLES_MAX);
        Ok(json(&SeriesWindow { series: key.into(), samples, next_from }))
    })
    .await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScoreParams {
    name: String,
    labels: Option<String>,
}

async fn get_score(
    State(api): State<Api>,
    session: Session,
    Params(params): Params<ScoreParams>,
) -> Answer<Response> {
    let key = key_of(params.name, params.labels.as_deref())?;
    session.require_on(&api, permissions::SIGNAL_VIEW, key.service().as_ref()).await?;
    let latest = api.hub.latest(&session.tenant, &key);
    if latest.is_none() {
        return Err(Problem::not_found("series", &key).into());
    }
    let score = api.hub.score(&session.tenant, &key);
    Ok(json(&SeriesScoreView {
        series: key.into(),
        latest,
        score: score.as_ref().map(|score| score.score),
        alert: score.as_ref().is_some_and(|score| score.alert),
        expected: score.as_ref().and_then(|score| score.mean),
        low: score.as_ref().and_then(|score| score.lo),
        high: score.as_ref().and_then(|score| score.hi),
    }))
}

pub(super) fn key_of(name: String, labels: Option<&str>) -> Answer<SeriesKey> {
    let labels = match labels.map(str::trim).filter(|text| !text.is_empty()) {
        None => Labels::new(),
        Some(text) if text.starts_with('{') => serde_json::from_str(text)
            .map_err(|error| Failure::field("labels", error.to_string()))?,
        Some(text) => text
            .split(',')
            .map(|pair| {
                let (name, value) = pair.split_once('=')?;
                Some((name.trim().to_owned(), value.trim().to_owned()))
            })
            .collect::<Option<Labels>>()
            .ok_or_else(|| Failure::field("labels", "write service=order,az=a or a JSON object"))?,
    };
    Ok(SeriesKey { name, labels })
}

pub(super) fn moment(field: &str, text: &str) -> Answer<Timestamp> {
    if let Ok(millis) = text.parse() {
        return Ok(Timestamp::from_millis(millis));
    }
    text.parse().map_err(|error: oag_types::TimeError| Failure::field(field, error.to_string()))
}

/// Signals of one series as replay reads them.
pub(super) fn signals_of(key: &SeriesKey, samples: Vec<oag_types::Sample>) -> Vec<Signal> {
    samples.into_iter().map(|sample| Signal { key: key.clone(), sample }).collect()
}
