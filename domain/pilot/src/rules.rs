//! The guard's book as it is kept: read, changed by people, changed by outcomes.

use std::sync::{Arc, PoisonError};

use oag_guard::{
    ApprovalRules, Book, FreezeWindow, GuardError, KillScope, KillSwitch, Limits, PolicySet,
    Resource, Rung, permissions,
};
use oag_store_port::{Batch, StoreError};
use oag_types::{Code, KindName, Problem, Tenant};
use serde_json::json;

use crate::docs::{self, GUARD, store_problem, to_json};
use crate::pilot::revision_mismatch;
use crate::{Caller, Pilot, Versioned, kinds};

const BOOK: &str = "book";

impl Pilot {
    /// The book of a tenant, for those who may see it.
    ///
    /// # Errors
    /// `FORBIDDEN`, or when the store does not answer.
    pub async fn book(&self, tenant: &Tenant, caller: &Caller) -> Result<Versioned<Book>, Problem> {
        let book = self.rules(tenant).await?;
        caller.require(&book.value.policies, permissions::GUARD_VIEW, &Resource::tenant())?;
        Ok(Versioned { value: Book::clone(&book.value), revision: book.revision })
    }

    /// Replaces the policies.
    ///
    /// # Errors
    /// `FORBIDDEN`, a field that is wrong, or a revision that is not the present one.
    pub async fn set_policies(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        policies: PolicySet,
        expected: Option<u64>,
    ) -> Result<Versioned<Book>, Problem> {
        let edit = Edit { permission: permissions::POLICY_WRITE, what: "policies", expected };
        self.edit(tenant, caller, edit, |book| {
            book.policies = policies;
            Ok(())
        })
        .await
    }

    /// Replaces the limits.
    ///
    /// # Errors
    /// As [`Pilot::set_policies`].
    pub async fn set_limits(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        limits: Limits,
        expected: Option<u64>,
    ) -> Result<Versioned<Book>, Problem> {
        let edit = Edit { permission: permissions::GUARD_WRITE, what: "limits", expected };
        self.edit(tenant, caller, edit, |book| {
            book.limits = limits;
            Ok(())
        })
        .await
    }

    /// Replaces the freeze windows.
    ///
    /// # Errors
    /// As [`Pilot::set_policies`].
    pub async fn set_freezes(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        freezes: Vec<FreezeWindow>,
        expected: Option<u64>,
    ) -> Result<Versioned<Book>, Problem> {
        let edit = Edit { permission: permissions::GUARD_WRITE, what: "freezes", expected };
        self.edit(tenant, caller, edit, |book| {
            book.freezes = freezes;
            Ok(())
        })
        .await
    }

    /// Replaces the rules of approval.
    ///
    /// # Errors
    /// As [`Pilot::set_policies`].
    pub async fn set_approval_rules(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        rules: ApprovalRules,
        expected: Option<u64>,
    ) -> Result<Versioned<Book>, Problem> {
        let edit = Edit { permission: permissions::GUARD_WRITE, what: "approval_rules", expected };
        self.edit(tenant, caller, edit, |book| {
            book.approval_rules = rules;
            Ok(())
        })
        .await
    }

    /// Switches the kill switch. Needs no revision: it must work at once.
    ///
    /// # Errors
    /// `FORBIDDEN`, or a missing reason.
    pub async fn set_kill_switch(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        on: bool,
        scope: KillScope,
        reason: String,
    ) -> Result<Versioned<Book>, Problem> {
        if reason.trim().is_empty() {
            return Err(Problem::field("reason", "say why, for those who are stopped"));
        }
        let (by, at) = (caller.principal.id, self.now());
        let permission = permissions::KILLSWITCH_OPERATE;
        let edit = Edit { permission, what: "kill_switch", expected: None };
        self.edit(tenant, caller, edit, |book| {
            book.kill_switch = if on {
                KillSwitch::engaged(scope.clone(), by, at, reason.clone())
            } else {
                KillSwitch::released(by, at, reason.clone())
            };
            Ok(())
        })
        .await
    }

    /// Sets a kind's rung and the highest rung it may climb to.
    ///
    /// # Errors
    /// `FORBIDDEN`, an unknown kind, a rung above the ceiling, or a missing reason.
    pub async fn set_autonomy(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        kind: &KindName,
        rung: Rung,
        ceiling: Rung,
        reason: &str,
    ) -> Result<Versioned<Book>, Problem> {
        kinds::kind(kind)?;
        let (by, at) = (caller.principal.id, self.now());
        let edit =
            Edit { permission: permissions::AUTONOMY_WRITE, what: "autonomy", expected: None };
        self.edit(tenant, caller, edit, |book| {
            book.ladder.set(kind, rung, ceiling, by, reason, at).map(|_| ())
        })
        .await
    }

    /// The book, from memory when it was read before: this process is the only one that writes it
    /// in its epoch, and writes are conditional on the revision read.
    pub(crate) async fn rules(&self, tenant: &Tenant) -> Result<Versioned<Arc<Book>>, Problem> {
        if let Some(book) =
            self.books.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
        {
            return Ok(book);
        }
        self.reread_rules(tenant).await
    }

    async fn reread_rules(&self, tenant: &Tenant) -> Result<Versioned<Arc<Book>>, Problem> {
        let stored = docs::get::<Book>(&*self.store, tenant, GUARD, BOOK).await?;
        let book = match stored {
            Some(book) => Versioned { value: Arc::new(book.value), revision: book.revision },
            None => Versioned { value: Arc::new(Book::default()), revision: 0 },
        };
        self.books
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(tenant.clone(), book.clone());
        Ok(book)
    }

    /// Commits a batch together with a changed book. Call under the admission lock.
    pub(crate) async fn save_with_rules(
        &self,
        tenant: &Tenant,
        batch: Batch,
        book: Book,
        read_at: u64,
    ) -> Result<Versioned<Arc<Book>>, Problem> {
        let body = to_json(&book)?;
        let condition = match read_at {
            0 => docs::absent(GUARD, BOOK),
            revision => docs::unchanged(GUARD, BOOK, revision),
        };
        let batch = batch.expect(condition).put(GUARD, BOOK, body, "");
        match self.commit(tenant, batch).await {
            Ok(committed) => {
                let book = Versioned { value: Arc::new(book), revision: committed.revision };
                self.books
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(tenant.clone(), book.clone());
                Ok(book)
            }
            Err(error) => {
                if matches!(error, StoreError::Conflict { .. }) {
                    self.reread_rules(tenant).await?;
                }
                Err(store_problem(error))
            }
        }
    }

    async fn edit(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        edit: Edit,
        change: impl FnOnce(&mut Book) -> Result<(), GuardError>,
    ) -> Result<Versioned<Book>, Problem> {
        let _admission = self.admission.lock().await;
        let book = self.rules(tenant).await?;
        caller.require(&book.value.policies, edit.permission, &Resource::tenant())?;
        if let Some(wanted) = edit.expected.filter(|wanted| *wanted != book.revision) {
            return Err(revision_mismatch("the guard's book", wanted, book.revision));
        }
        let mut changed = Book::clone(&book.value);
        change(&mut changed).map_err(|error| guard_problem(&error))?;
        changed.validate().map_err(|error| guard_problem(&error))?;
        let before = part(&book.value, edit.what)?;
        let after = part(&changed, edit.what)?;
        let payload = json!({
            "what": edit.what, "by": caller.principal.id, "before": before, "after": after,
        });
        let batch = self.batch().ledger("rules", edit.what, payload.to_string());
        let saved = self.save_with_rules(tenant, batch, changed, book.revision).await?;
        Ok(Versioned { value: Book::clone(&saved.value), revision: saved.revision })
    }
}

struct Edit {
    permission: &'static str,
    what: &'static str,
    expected: Option<u64>,
}

/// The part of the book that an edit is about, for the ledger.
fn part(book: &Book, what: &str) -> Result<serde_json::Value, Problem> {
    let mut whole = serde_json::to_value(book).map_err(docs::internal)?;
    let key = if what == "autonomy" { "ladder" } else { what };
    Ok(whole.get_mut(key).map(serde_json::Value::take).unwrap_or_default())
}

pub(crate) fn guard_problem(error: &GuardError) -> Problem {
    match error {
        GuardError::Invalid { field, problem } => Problem::field(field, problem),
        GuardError::Version { .. } => Problem::new(Code::CONFLICT, error.to_string()),
        GuardError::NoRandomness => docs::internal(error),
    }
}
