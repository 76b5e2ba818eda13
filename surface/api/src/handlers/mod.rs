//! Endpoints: take the request apart, call the domain, write the answer.

mod analysis;
mod directory;
mod findings;
mod fleet;
mod guard;
mod ledger;
mod models;
mod plans;
mod predict;
mod server;
mod services;
mod signals;

use axum::response::Response;
use http::HeaderMap;
use oag_guard::permissions;
use oag_pilot::{PageOf, PageRequest, Versioned};
use serde::{Deserialize, Serialize};

use crate::auth::Session;
use crate::doc::Routes;
use crate::http::extract::{broken, json};
use crate::http::page::{ListScope, page_size};
use crate::http::problem::{Answer, Failure};
use crate::http::watch::{Topic, watch};
use crate::state::Api;
use crate::wire::PageView;

/// Runs what takes long or waits for files beside the tasks that serve connections.
async fn aside(work: impl FnOnce() -> Answer<Response> + Send + 'static) -> Answer<Response> {
    let work: Box<dyn FnOnce() -> Answer<Response> + Send> = Box::new(work);
    tokio::task::spawn_blocking(work).await.map_err(|error| broken(&error))?
}

/// Every route there is.
pub(crate) fn routes() -> Routes {
    let routes = Routes::new();
    let routes = server::routes(routes);
    let routes = signals::routes(routes);
    let routes = services::routes(routes);
    let routes = findings::routes(routes);
    let routes = plans::routes(routes);
    let routes = guard::routes(routes);
    let routes = directory::routes(routes);
    let routes = ledger::routes(routes);
    let routes = fleet::routes(routes);
    let routes = models::routes(routes);
    let routes = predict::routes(routes);
    analysis::routes(routes)
}

/// What can be watched, and what one must be allowed to for all of it.
const TOPICS: &[Topic] = &[
    Topic { resource: "service", permission: permissions::SERVICE_VIEW },
    Topic { resource: "plan", permission: permissions::PLAN_VIEW },
    Topic { resource: "finding", permission: permissions::FINDING_VIEW },
    Topic { resource: "story", permission: permissions::FINDING_VIEW },
    Topic { resource: "notification", permission: permissions::PLAN_VIEW },
    Topic { resource: "principal", permission: permissions::PRINCIPAL_VIEW },
    Topic { resource: "key", permission: permissions::KEY_VIEW },
    Topic { resource: "guard", permission: permissions::GUARD_VIEW },
];

/// The parameters of a list without filters of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListParams {
    pub(crate) page_size: Option<usize>,
    pub(crate) page_token: Option<String>,
    #[serde(default)]
    pub(crate) watch: bool,
    pub(crate) from_revision: Option<u64>,
}

impl ListParams {
    /// The page that is asked for.
    fn page(&self, api: &Api, scope: &ListScope) -> Answer<PageRequest> {
        let after = self.page_token.as_deref().map(|token| scope.after(token)).transpose()?;
        // A watch looks at one item only, to hear whether the list may be seen at all.
        let limit = if self.watch { 1 } else { page_size(&api.config, self.page_size)? };
        if self.from_revision.is_some() && !self.watch {
            return Err(Failure::field("from_revision", "goes together with watch=true"));
        }
        Ok(PageRequest { after, limit })
    }
}

/// A page of the domain as it is sent, or a watch in its place.
async fn page_or_watch<D, W: From<Versioned<D>> + Serialize>(
    api: &Api,
    session: &Session,
    params: ListParams,
    headers: &HeaderMap,
    (resource, scope, page): (&'static str, ListScope, PageOf<Versioned<D>>),
) -> Answer<Response> {
    if params.watch {
        return watch_of(api, session, resource, headers, params.from_revision).await;
    }
    Ok(json(&page_view::<D, W>(&scope, page)))
}

fn page_view<D, W: From<Versioned<D>>>(
    scope: &ListScope,
    page: PageOf<Versioned<D>>,
) -> PageView<W> {
    PageView {
        items: page.items.into_iter().map(W::from).collect(),
        next_page_token: page.next.map(|next| scope.token(&next)),
        revision: page.revision,
    }
}

/// A watch of one kind of thing.
async fn watch_of(
    api: &Api,
    session: &Session,
    resource: &str,
    headers: &HeaderMap,
    from: Option<u64>,
) -> Answer<Response> {
    let topics = TOPICS.iter().copied().filter(|topic| topic.resource == resource).collect();
    watch(api, session, topics, headers, from).await
}

/// A watch of everything the caller may see.
async fn watch_all(
    api: &Api,
    session: &Session,
    headers: &HeaderMap,
    from: Option<u64>,
) -> Answer<Response> {
    watch(api, session, TOPICS.to_vec(), headers, from).await
}
