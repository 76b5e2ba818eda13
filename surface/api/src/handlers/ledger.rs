//! The ledger: head, rows, proofs, tiles, erasure.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use oag_guard::permissions;
use oag_types::Code;
use serde::Deserialize;

use crate::auth::Session;
use crate::doc::{Operation, Routes};
use crate::http::extract::{Body, Params, Segment, broken, json};
use crate::http::page::page_size;
use crate::http::problem::{Answer, Failure};
use crate::shape::Shape;
use crate::state::Api;
use crate::wire::{Erased, ItemsView, LedgerHeadView, LedgerRowView, ReasonRequest};

pub(super) fn routes(routes: Routes) -> Routes {
    let view =
        |path, id, summary| Operation::get(path, id, summary).permission(permissions::LEDGER_VIEW);
    let head = view("/api/v1/ledger", "getLedgerHead", "The signed head of the ledger")
        .answers::<LedgerHeadView>();
    let checkpoint = view("/api/v1/ledger/checkpoint", "getCheckpoint", "The signed checkpoint")
        .about("A C2SP checkpoint; the public key is in `/api/v1/ledger`.")
        .answers_media("text/plain");
    let rows = view("/api/v1/ledger/rows", "listLedgerRows", "Rows, oldest first")
        .parameter("from", Shape::COUNT, "The first index; 0 when left out.")
        .parameter("page_size", Shape::COUNT, "Most rows, at most 500.")
        .parameter("subject", Shape::Text, "Only rows about this, such as an action id.")
        .answers_items::<LedgerRowView>();
    let row =
        view("/api/v1/ledger/rows/{index}", "getLedgerRow", "One row").answers::<LedgerRowView>();
    let proof = view("/api/v1/ledger/rows/{index}/proof", "getLedgerProof", "A proof of one row")
        .about("All that a third party needs beside the public key; see `docs/ledger.md`.")
        .answers_media("application/json");
    let erase = Operation::post(
        "/api/v1/ledger/rows/{index}/erase",
        "eraseLedgerRow",
        "Erase the payload of a row",
    )
    .about("The row stays and its proof keeps holding; the erasure is recorded itself.")
    .permission(permissions::LEDGER_ERASE)
    .reads::<ReasonRequest>()
    .answers::<Erased>();
    let tile = view("/api/v1/ledger/tile/{level}/{*index}", "getLedgerTile", "A tile of hashes")
        .about("As C2SP tlog-tiles lays them out: `0/x001/067`, or `0/x001/067.p/8`.")
        .answers_media("application/octet-stream");
    routes
        .tag("ledger")
        .add(head, get_head)
        .add(checkpoint, get_checkpoint)
        .add(rows, list_rows)
        .add(row, get_row)
        .add(proof, get_proof)
        .add(erase, erase_row)
        .add(tile, get_tile)
}

async fn get_head(State(api): State<Api>, session: Session) -> Answer<Response> {
    let head = api.pilot.ledger_head(&session.tenant, &session.caller).await?;
    Ok(json(&LedgerHeadView::from(head)))
}

async fn get_checkpoint(State(api): State<Api>, session: Session) -> Answer<String> {
    Ok(api.pilot.ledger_head(&session.tenant, &session.caller).await?.checkpoint)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowParams {
    from: Option<u64>,
    page_size: Option<usize>,
    subject: Option<String>,
}

async fn list_rows(
    State(api): State<Api>,
    session: Session,
    Params(params): Params<RowParams>,
) -> Answer<Response> {
    let limit = page_size(&api.config, params.page_size)?;
    let (tenant, caller) = (&session.tenant, &session.caller);
    let from = params.from.unwrap_or(0);
    let rows = match &params.subject {
        Some(subject) => {
            let rows = api.pilot.ledger_by_subject(tenant, caller, subject).await?;
            rows.into_iter().filter(|row| row.index >= from).take(limit).collect()
        }
        None => api.pilot.ledger_rows(tenant, caller, from, limit).await?,
    };
    let items: Vec<LedgerRowView> = rows.into_iter().map(LedgerRowView::from).collect();
    Ok(json(&ItemsView { items }))
}

async fn get_row(
    State(api): State<Api>,
    session: Session,
    Segment(index): Segment<u64>,
) -> Answer<Response> {
    let rows = api.pilot.ledger_rows(&session.tenant, &session.caller, index, 1).await?;
    let row = rows.into_iter().find(|row| row.index == index);
    let row = row.ok_or_else(|| Failure::new(Code::NOT_FOUND, format!("no row {index}")))?;
    Ok(json(&LedgerRowView::from(row)))
}

async fn get_proof(
    State(api): State<Api>,
    session: Session,
    Segment(index): Segment<u64>,
) -> Answer<Response> {
    let bundle = api.pilot.ledger_proof(&session.tenant, &session.caller, index).await?;
    let text = bundle.to_json().map_err(|error| broken(&error))?;
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}

async fn erase_row(
    State(api): State<Api>,
    session: Session,
    Segment(index): Segment<u64>,
    Body(request): Body<ReasonRequest>,
) -> Answer<Response> {
    let (tenant, caller) = (&session.tenant, &session.caller);
    let erased = api.pilot.ledger_erase(tenant, caller, index, &request.reason).await?;
    Ok(json(&Erased { erased }))
}

async fn get_tile(
    State(api): State<Api>,
    session: Session,
    Path((level, index)): Path<(String, String)>,
) -> Answer<Response> {
    let wanted = tile_of(&level, &index).ok_or_else(|| {
        let text = format!("no tile {level}/{index}; paths look like 0/x001/067 or 0/x001/067.p/8");
        Failure::new(Code::NOT_FOUND, text)
    })?;
    let (level, index, width) = wanted;
    let (tenant, caller) = (&session.tenant, &session.caller);
    let bytes = api.pilot.ledger_tile(tenant, caller, level, index, width).await?;
    Ok(([(CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

/// Reads `0` and `x001/067.p/8`.
fn tile_of(level: &str, index: &str) -> Option<(u8, u64, Option<u16>)> {
    let level: u8 = level.parse().ok().filter(|level| *level < 64)?;
    let (index, width) = match index.split_once(".p/") {
        Some((index, width)) => (index, Some(width.parse().ok()?)),
        None => (index, None),
    };
    let groups: Vec<&str> = index.split('/').collect();
    let (last, first) = groups.split_last()?;
    let mut number = 0_u64;
    for group in first.iter().map(|group| group.strip_prefix('x')).chain([Some(*last)]) {
        let group = group.filter(|g| g.len() == 3 && g.bytes().all(|b| b.is_ascii_digit()))?;
        number = number.checked_mul(1_000)?.checked_add(group.parse().ok()?)?;
    }
    Some((level, number, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tile_paths_are_read_as_they_are_written() {
        for (index, width) in [(0, 256), (7, 3), (1_067, 8), (1_234_067, 256), (5_000_000, 1)] {
            let path = oag_ledger::tile_path(2, index, width);
            let rest = path.strip_prefix("tile/2/").unwrap();
            let wanted = (width < 256).then_some(width);
            assert_eq!(tile_of("2", rest), Some((2, index, wanted)), "{path}");
        }
        for bad in ["", "67", "x067", "001/067", "x01/067", "067.p/", "067.p/x", "abc"] {
            assert_eq!(tile_of("0", bad), None, "{bad}");
        }
        assert_eq!(tile_of("64", "000"), None);
    }
}
