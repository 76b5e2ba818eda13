//! Predictions: numbers from numbers.

use axum::extract::State;
use axum::response::Response;
use oag_guard::permissions;
use oag_serve::{EngineError, Entry};

use super::models::failure;
use crate::auth::Session;
use crate::doc::{Operation, Routes};
use crate::http::extract::{Body, Segment, json};
use crate::http::problem::Answer;
use crate::state::Api;
use crate::wire::{FeatureList, PlainPredictRequest, PredictRequest, PredictView};

pub(super) fn routes(routes: Routes) -> Routes {
    let named = Operation::ask(
        "/api/v1/models/{model}/predict",
        "predict",
        "Predict numbers from numbers with a model",
    )
    .about("What a row has, and what comes out, stands in `about` of the nodes' models.")
    .permission(permissions::MODEL_USE)
    .bulk()
    .reads::<PredictRequest>()
    .answers::<PredictView>();
    let plain = Operation::ask("/predict", "predictPlain", "Predict numbers from numbers")
        .about("For installations with one model that predicts: it need not be named.")
        .permission(permissions::MODEL_USE)
        .bulk()
        .reads::<PlainPredictRequest>()
        .answers::<PredictView>();
    routes.tag("fleet").add(named, predict_named).add(plain, predict_plain)
}

async fn predict_named(
    State(api): State<Api>,
    session: Session,
    Segment(model): Segment<String>,
    Body(request): Body<PredictRequest>,
) -> Answer<Response> {
    session.require(&api, permissions::MODEL_USE, None).await?;
    let entry = api.engines.of(&model).map_err(failure)?;
    predict(entry, request.features).await
}

async fn predict_plain(
    State(api): State<Api>,
    session: Session,
    Body(request): Body<PlainPredictRequest>,
) -> Answer<Response> {
    session.require(&api, permissions::MODEL_USE, None).await?;
    let entry = api.engines.predicting(request.model.as_deref()).map_err(failure)?;
    predict(entry, request.features).await
}

async fn predict(entry: Entry, features: FeatureList) -> Answer<Response> {
    let features = features.features().map_err(failure)?;
    let model = entry.card.name;
    let predictions = entry.engine.predict(&model, features).await.map_err(failure)?;
    let empty = || failure(EngineError::Unavailable("the answer was empty".to_owned()));
    Ok(json(&PredictView::of(model, predictions).ok_or_else(empty)?))
}
