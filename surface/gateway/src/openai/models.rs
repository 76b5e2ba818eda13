//! `GET /v1/models`.

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;

use crate::edge::json;
use crate::state::{Asked, Gateway};
use crate::trouble::Trouble;

#[derive(Debug, Serialize)]
struct ListOut {
    object: &'static str,
    data: Vec<ModelOut>,
}

#[derive(Debug, Serialize)]
struct ModelOut {
    id: String,
    object: &'static str,
    /// Nobody knows when a model was made; this process began then.
    created: i64,
    owned_by: &'static str,
}

pub(super) async fn list(State(gateway): State<Gateway>, _: Asked) -> Response {
    let data = gateway.engines.models().into_iter().map(|entry| model(&gateway, entry.card.name));
    json(&ListOut { object: "list", data: data.collect() })
}

pub(super) async fn read(
    State(gateway): State<Gateway>,
    _: Asked,
    Path(name): Path<String>,
) -> Result<Response, Trouble> {
    let name = gateway.engines.of(&name)?.card.name;
    Ok(json(&model(&gateway, name)))
}

fn model(gateway: &Gateway, id: String) -> ModelOut {
    ModelOut { id, object: "model", created: gateway.began_s, owned_by: "openautoglm" }
}
