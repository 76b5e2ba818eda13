//! The fleet: nodes, and what waits for them.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use oag_cluster::{Cluster, GroupView, LeaseView, ModelView, NodeView, QueueView};
use oag_guard::permissions;
use oag_pilot::NodeCertificate;
use oag_serve::Engine as _;
use oag_types::{Code, NodeName, Problem, Tenant};
use serde::Deserialize;

use crate::auth::Session;
use crate::doc::{Operation, Routes};
use crate::http::extract::{Body, Params, Segment, json, json_with};
use crate::http::live::live;
use crate::http::problem::{Answer, Failure};
use crate::shape::Shape;
use crate::state::Api;
use crate::wire::{ItemsView, NodeCertificates, NodeTokenMinted, NodeTokenRequest, ReasonRequest};

/// How long a token is good unless asked otherwise.
const HOUR_MS: i64 = 3_600_000;
const LINES: usize = 20;
const LINES_MAX: usize = 500;

pub(super) fn routes(routes: Routes) -> Routes {
    let list = Operation::get("/api/v1/nodes", "listNodes", "The nodes of the fleet")
        .permission(permissions::NODE_VIEW)
        .answers_items::<NodeView>();
    let read = Operation::get("/api/v1/nodes/{name}", "getNode", "One node")
        .permission(permissions::NODE_VIEW)
        .answers::<NodeView>();
    let operate = |path, id, summary| {
        Operation::post(path, id, summary)
            .permission(permissions::NODE_OPERATE)
            .reads::<ReasonRequest>()
            .answers::<NodeView>()
    };
    let cordon = operate("/api/v1/nodes/{name}/cordon", "cordonNode", "Give a node nothing new")
        .about("What it has it finishes.");
    let uncordon =
        operate("/api/v1/nodes/{name}/uncordon", "uncordonNode", "Let a node work again");
    let disconnect =
        operate("/api/v1/nodes/{name}/disconnect", "disconnectNode", "End a node's session")
            .about("Its work goes to others at once. The node may come back.");
    let models = Operation::get("/api/v1/models", "listModels", "The models there are")
        .about("Those of the fleet's nodes, and those without nodes, which this process runs.")
        .permission(permissions::NODE_VIEW)
        .answers_items::<ModelView>()
        .live();
    let groups = Operation::get("/api/v1/node-groups", "listNodeGroups", "The groups of nodes")
        .about("As the nodes say themselves, or an inventory in their place.")
        .permission(permissions::NODE_VIEW)
        .answers_items::<GroupView>();
    let queues = Operation::get("/api/v1/queues", "listQueues", "What waits and what runs")
        .about("With the reasons of the policy. Work of other tenants is counted, not listed.")
        .permission(permissions::NODE_VIEW)
        .parameter("most", Shape::COUNT, "Most lines of each queue, 1 to 500; 20 when left out.")
        .answers_items::<QueueView>()
        .live();
    enrolment_routes(
        routes
            .tag("fleet")
            .add(list, list_nodes)
            .add(read, get_node)
            .add(cordon, cordon_node)
            .add(uncordon, uncordon_node)
            .add(disconnect, disconnect_node)
            .add(groups, list_groups)
            .add(models, list_models)
            .add(queues, list_queues),
    )
}

fn enrolment_routes(routes: Routes) -> Routes {
    let revoke = Operation::post(
        "/api/v1/nodes/{name}/revoke",
        "revokeNode",
        "Revoke the certificates of a node",
    )
    .about("Its connection ends at once. With a new token it can join again.")
    .permission(permissions::NODE_ENROL)
    .reads::<ReasonRequest>()
    .answers::<NodeCertificates>();
    let certificates = Operation::get(
        "/api/v1/node-certificates",
        "listNodeCertificates",
        "The certificates of nodes that are in force",
    )
    .permission(permissions::NODE_VIEW)
    .answers_items::<NodeCertificates>();
    let token = Operation::post("/api/v1/node-tokens", "makeNodeToken", "Let a node join")
        .about("The token is good once, and shown once.")
        .permission(permissions::NODE_ENROL)
        .shown_once("token")
        .reads::<NodeTokenRequest>()
        .answers_with::<NodeTokenMinted>(StatusCode::CREATED);
    routes.add(revoke, revoke_node).add(certificates, list_certificates).add(token, make_token)
}

/// The fleet of this process.
pub(super) fn fleet(api: &Api) -> Answer<&Cluster> {
    let none = || Failure::new(Code::NOT_FOUND, "this process controls no fleet");
    api.fleet.as_ref().ok_or_else(none)
}

async fn list_nodes(State(api): State<Api>, session: Session) -> Answer<Response> {
    session.require(&api, permissions::NODE_VIEW, None).await?;
    let mut items = fleet(&api)?.nodes();
    for node in &mut items {
        hide(&api, &session.tenant, &mut node.leases);
    }
    Ok(json(&ItemsView { items }))
}

async fn get_node(
    State(api): State<Api>,
    session: Session,
    Segment(name): Segment<NodeName>,
) -> Answer<Response> {
    session.require(&api, permissions::NODE_VIEW, None).await?;
    one(&api, &session, &name)
}

fn one(api: &Api, session: &Session, name: &NodeName) -> Answer<Response> {
    let node = fleet(api)?.node(name);
    let mut node = node.ok_or_else(|| Problem::not_found("node", name))?;
    hide(api, &session.tenant, &mut node.leases);
    Ok(json(&node))
}

/// Whose work the caller's tenant may not see.
fn hide(api: &Api, tenant: &Tenant, leases: &mut Vec<LeaseView>) {
    if *tenant != api.config.tenant {
        leases.retain(|lease| lease.tenant == *tenant);
    }
}

async fn cordon_node(
    State(api): State<Api>,
    session: Session,
    Segment(name): Segment<NodeName>,
    Body(request): Body<ReasonRequest>,
) -> Answer<Response> {
    operate(&api, &session, name, "cordon", &request.reason).await
}

async fn uncordon_node(
    State(api): State<Api>,
    session: Session,
    Segment(name): Segment<NodeName>,
    Body(request): Body<ReasonRequest>,
) -> Answer<Response> {
    operate(&api, &session, name, "uncordon", &request.reason).await
}

async fn disconnect_node(
    State(api): State<Api>,
    session: Session,
    Segment(name): Segment<NodeName>,
    Body(request): Body<ReasonRequest>,
) -> Answer<Response> {
    operate(&api, &session, name, "disconnect", &request.reason).await
}

/// Written down before it is done.
async fn operate(
    api: &Api,
    session: &Session,
    name: NodeName,
    what: &'static str,
    reason: &str,
) -> Answer<Response> {
    session.require(api, permissions::NODE_OPERATE, None).await?;
    if reason.trim().is_empty() {
        return Err(Failure::field("reason", "is missing; it goes into the ledger"));
    }
    let fleet = fleet(api)?;
    if fleet.node(&name).is_none() {
        return Err(Problem::not_found("node", &name).into());
    }
    let note = serde_json::json!({ "do": what, "reason": reason });
    let subject = format!("node:{name}");
    api.pilot.write_down(&session.tenant, &session.caller, ("node", &subject), note).await?;
    let done = match what {
        "cordon" => fleet.cordon(&name, true),
        "uncordon" => fleet.cordon(&name, false),
        _ => fleet.disconnect(&name, reason, true),
    };
    if !done {
        return Err(Failure::new(Code::CONFLICT, format!("{name} has no session to end")));
    }
    one(api, session, &name)
}

async fn revoke_node(
    State(api): State<Api>,
    session: Session,
    Segment(name): Segment<NodeName>,
    Body(request): Body<ReasonRequest>,
) -> Answer<Response> {
    let (tenant, caller) = (&session.tenant, &session.caller);
    let record = api.pilot.revoke_node(tenant, caller, &name, &request.reason).await?;
    if let Some(gate) = &api.gate {
        let ends = |one: &NodeCertificate| (one.serial.clone(), one.not_after);
        gate.revoked(&record.certificates.iter().map(ends).collect::<Vec<_>>());
    }
    if let Some(fleet) = &api.fleet {
        // It may not be connected; then there is nothing to end.
        let _ = fleet.disconnect(&name, "the certificate was revoked", false);
    }
    Ok(json(&NodeCertificates::from(record)))
}

async fn list_certificates(State(api): State<Api>, session: Session) -> Answer<Response> {
    session.require(&api, permissions::NODE_VIEW, None).await?;
    let (records, now) = (api.pilot.node_records(&session.tenant).await?, api.clock.now());
    let mut items: Vec<NodeCertificates> =
        records.into_iter().map(NodeCertificates::from).collect();
    for item in &mut items {
        item.certificates.retain(|certificate| certificate.not_after > now);
    }
    items.retain(|item| !item.certificates.is_empty());
    Ok(json(&ItemsView { items }))
}

async fn make_token(
    State(api): State<Api>,
    session: Session,
    Body(request): Body<NodeTokenRequest>,
) -> Answer<Response> {
    let Some(gate) = &api.gate else {
        let text = "there is no port for nodes of other machines; set nodes.listen, such as \
                    0.0.0.0:8443. Workers on this machine need no token";
        return Err(Failure::new(Code::CONFLICT, text));
    };
    let (tenant, caller) = (&session.tenant, &session.caller);
    let valid_ms = request.valid_ms.unwrap_or(HOUR_MS);
    let minted = api.pilot.mint_node_token(tenant, caller, request.node, valid_ms).await?;
    let (token, secret) = minted;
    let (host, port) = gate.address();
    let minted = NodeTokenMinted {
        id: token.key.id,
        node: token.node,
        expires_at: token.key.expires_at,
        token: Some(gate.pass(&secret)),
        address: format!("{}:{port}", host.as_deref().unwrap_or("HOST")),
    };
    Ok(json_with(StatusCode::CREATED, &minted))
}

async fn list_groups(State(api): State<Api>, session: Session) -> Answer<Response> {
    session.require(&api, permissions::NODE_VIEW, None).await?;
    Ok(json(&ItemsView { items: fleet(&api)?.groups() }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelParams {
    #[serde(default)]
    watch: bool,
}

async fn list_models(
    State(api): State<Api>,
    session: Session,
    Params(params): Params<ModelParams>,
) -> Answer<Response> {
    session.require(&api, permissions::NODE_VIEW, None).await?;
    if params.watch {
        return live(&api, &session, |api, _| models(api));
    }
    Ok(json(&models(&api)?))
}

fn models(api: &Api) -> Answer<ItemsView<ModelView>> {
    let fleet = fleet(api)?;
    let mut items = fleet.models_of_fleet();
    // What this process runs by itself, such as the built-in one.
    for engine in api.engines.all().iter().filter(|engine| engine.name() != fleet.name()) {
        let stats = engine.stats();
        for card in engine.models() {
            if items.iter().any(|model| model.name == card.name) {
                continue;
            }
            items.push(ModelView {
                name: card.name,
                nodes: Vec::new(),
                slots: stats.slots as usize,
                busy: stats.busy as usize,
                waiting: stats.waiting as usize,
                window_tokens: card.window_tokens.map_or(0, u64::from),
            });
        }
    }
    items.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(ItemsView { items })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueParams {
    most: Option<usize>,
    #[serde(default)]
    watch: bool,
}

async fn list_queues(
    State(api): State<Api>,
    session: Session,
    Params(params): Params<QueueParams>,
) -> Answer<Response> {
    session.require(&api, permissions::NODE_VIEW, None).await?;
    let most = params.most.unwrap_or(LINES).clamp(1, LINES_MAX);
    if params.watch {
        return live(&api, &session, move |api, session| queues(api, session, most));
    }
    Ok(json(&queues(&api, &session, most)?))
}

fn queues(api: &Api, session: &Session, most: usize) -> Answer<ItemsView<QueueView>> {
    let mut items = fleet(api)?.queues(most);
    for queue in &mut items {
        hide(api, &session.tenant, &mut queue.running);
        if session.tenant != api.config.tenant {
            queue.next.retain(|line| line.tenant == session.tenant);
        }
    }
    Ok(ItemsView { items })
}
