//! The tenant's rules that are changed for the time of the demo, and put back afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::world::Server;
use crate::exit::{Exit, Trouble};
use crate::value::Read;

const KIND: &str = "scale";
const TRIES: usize = 20;
/// The times of a limit, as they are written.
const TIMES: [&str; 5] = [
    "/step_window_ms",
    "/cooldown_ms",
    "/cooldown_up_ms",
    "/rate/per_ms",
    "/blast_radius/window_ms",
];

/// How the rules were, so that they can be put back, also by the next demo when this one is
/// killed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Before {
    /// The limits.
    limits: Value,
    /// The limits of the time of the demo.
    changed: Value,
    /// Rung and ceiling of `scale`.
    rung: String,
    ceiling: String,
}

/// What was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restored {
    /// Everything.
    All,
    /// Not the limits: somebody changed them meanwhile.
    LimitsAreOthers,
}

/// The limits with every time divided: what is right for minutes is right for steps. Nothing but
/// times is changed.
pub(super) fn compress(limits: &Value, compression: f64) -> Value {
    let mut rules = limits.clone();
    for rule in rules.as_array_mut().into_iter().flatten() {
        if rule.get("step_window_ms").is_none() {
            rule["step_window_ms"] = json!(60_000);
        }
        for pointer in TIMES {
            if let Some(time) = rule.pointer_mut(pointer)
                && let Some(millis) = time.as_f64()
            {
                let shorter = (millis / compression).round();
                *time = json!(if millis > 0.0 { shorter.max(1.0) as i64 } else { 0 });
            }
        }
    }
    rules
}

impl Before {
    /// Reads the rules as they are.
    pub(super) async fn read(server: &impl Server, compression: f64) -> anyhow::Result<Self> {
        let limits = server.get(&["api", "v1", "limits"], &[]).await?.at("/rules").clone();
        let (rung, ceiling) = rung(server).await?;
        Ok(Self { changed: compress(&limits, compression), limits, rung, ceiling })
    }

    /// Lets `scale` act by itself and shortens the times of the limits.
    pub(super) async fn lend(&self, server: &impl Server) -> anyhow::Result<()> {
        // Setting a rung begins its record anew: not where it would change nothing.
        if self.rung != "automatic" {
            set_rung(server, "automatic", "automatic", "for the time of the demo").await?;
        }
        replace_limits(server, |_| Some(self.changed.clone())).await.map(|_| ())
    }

    /// Puts everything back. Limits that somebody changed meanwhile are left as they are.
    pub(super) async fn restore(&self, server: &impl Server) -> anyhow::Result<Restored> {
        // Each part by itself: a failure of one must not keep the other from being put back.
        let rung = self.restore_rung(server).await;
        let limits = replace_limits(server, |now| {
            (now == &self.changed && now != &self.limits).then(|| self.limits.clone())
        })
        .await;
        rung?;
        let now = limits?;
        Ok(if now == self.limits { Restored::All } else { Restored::LimitsAreOthers })
    }

    async fn restore_rung(&self, server: &impl Server) -> anyhow::Result<()> {
        let now = rung(server).await?;
        if now == (self.rung.clone(), self.ceiling.clone()) {
            return Ok(());
        }
        set_rung(server, &self.rung, &self.ceiling, "the demo is over").await
    }

    /// Keeps how the rules were in a file of the data directory.
    pub(super) fn keep(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
    }

    /// What an earlier demo that was killed has left, when there is something.
    pub(super) fn left(file: &Path) -> anyhow::Result<Option<Self>> {
        let Ok(text) = fs::read_to_string(file) else { return Ok(None) };
        let before = serde_json::from_str(&text).map_err(|error| {
            Trouble::usage(format!("{} cannot be read: {error}", file.display()))
                .hint("compare `openautoglm get limits` with what you want, then delete the file")
        })?;
        Ok(Some(before))
    }
}

/// Where the rules of before are kept.
pub(super) fn file_in(data: &Path) -> Option<PathBuf> {
    data.is_dir().then(|| data.join("demo-restore.json"))
}

async fn rung(server: &impl Server) -> anyhow::Result<(String, String)> {
    let ladder = server.get(&["api", "v1", "autonomy"], &[]).await?;
    let kind = ladder.list("/kinds").iter().find(|kind| kind.str("/kind") == KIND);
    let kind = kind.context("the server knows no action kind 'scale'")?;
    Ok((kind.text("/rung"), kind.text("/ceiling")))
}

async fn set_rung(
    server: &impl Server,
    rung: &str,
    ceiling: &str,
    reason: &str,
) -> anyhow::Result<()> {
    let body = json!({"rung": rung, "ceiling": ceiling, "reason": reason});
    let mut tried = 0;
    loop {
        match server.put(&["api", "v1", "autonomy", KIND], &body, None).await {
            Ok(_) => return Ok(()),
            Err(error) if is_conflict(&error) && tried < TRIES => tried += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Replaces the limits by what `change` makes of them, when it makes something; the answer is how
/// they are then. The guard's book changes with every action, so that the revision may be old.
async fn replace_limits(
    server: &impl Server,
    change: impl Fn(&Value) -> Option<Value>,
) -> anyhow::Result<Value> {
    let mut tried = 0;
    loop {
        let found = server.get(&["api", "v1", "limits"], &[]).await?;
        let Some(rules) = change(found.at("/rules")) else { return Ok(found.at("/rules").clone()) };
        let base = found.at("/revision").as_u64();
        match server.put(&["api", "v1", "limits"], &json!({"rules": rules}), base).await {
            Ok(saved) => return Ok(saved.at("/rules").clone()),
            Err(error) if is_conflict(&error) && tried < TRIES => tried += 1,
            Err(error) => return Err(error),
        }
    }
}

fn is_conflict(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Trouble>().is_some_and(|trouble| trouble.exit() == Exit::Conflict)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::api::Query;

    /// A guard with a revision that moves by itself, and that fails when told to.
    struct Guard {
        limits: RefCell<Value>,
        rung: RefCell<(String, String)>,
        revision: RefCell<u64>,
        conflicts: RefCell<usize>,
        broken: RefCell<bool>,
    }

    impl Guard {
        fn new() -> Self {
            Self {
                limits: RefCell::new(
                    serde_json::to_value(oag_guard::Limits::default().rules).unwrap(),
                ),
                rung: RefCell::new(("observe".into(), "approve".into())),
                revision: RefCell::new(1),
                conflicts: RefCell::new(0),
                broken: RefCell::new(false),
            }
        }

        fn state(&self) -> (Value, (String, String)) {
            (self.limits.borrow().clone(), self.rung.borrow().clone())
        }
    }

    impl Server for Guard {
        async fn get(&self, path: &[&str], _: Query<'_>) -> anyhow::Result<Value> {
            Ok(match path[2] {
                "limits" => json!({
                    "rules": *self.limits.borrow(), "revision": *self.revision.borrow(),
                }),
                _ => {
                    let (rung, ceiling) = self.rung.borrow().clone();
                    json!({"kinds": [{"kind": "scale", "rung": rung, "ceiling": ceiling}]})
                }
            })
        }

        async fn post(&self, _: &[&str], _: &Value) -> anyhow::Result<Value> {
            anyhow::bail!("not asked for")
        }

        async fn put(
            &self,
            path: &[&str],
            body: &Value,
            base: Option<u64>,
        ) -> anyhow::Result<Value> {
            if *self.broken.borrow() && path[2] == "autonomy" {
                anyhow::bail!("the server is away");
            }
            if *self.conflicts.borrow() > 0 {
                *self.conflicts.borrow_mut() -= 1;
                *self.revision.borrow_mut() += 1;
                return Err(Trouble::new(Exit::Conflict, "another revision").into());
            }
            *self.revision.borrow_mut() += 1;
            match path[2] {
                "limits" => {
                    assert_eq!(base, Some(*self.revision.borrow() - 1));
                    // As the product reads and writes them.
                    let rules: Vec<oag_guard::LimitRule> =
                        serde_json::from_value(body["rules"].clone()).unwrap();
                    *self.limits.borrow_mut() = serde_json::to_value(rules).unwrap();
                }
                _ => {
                    let text = |name: &str| body[name].as_str().unwrap().to_owned();
                    *self.rung.borrow_mut() = (text("rung"), text("ceiling"));
                }
            }
            Ok(json!({"rules": *self.limits.borrow()}))
        }

        async fn delete(&self, _: &[&str]) -> anyhow::Result<()> {
            anyhow::bail!("not asked for")
        }
    }

    fn block<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn every_time_is_divided_and_nothing_else() {
        let guard = Guard::new();
        let before = guard.state().0;
        let after = compress(&before, 60.0);
        assert_eq!(after[0]["cooldown_ms"], 4_000);
        assert_eq!(after[0]["cooldown_up_ms"], 333);
        assert_eq!(after[0]["step_window_ms"], 1_000);
        assert_eq!(after[0]["blast_radius"]["window_ms"], 10_000);
        assert_eq!(after[0]["max_step"], before[0]["max_step"]);
        assert_eq!(after[0]["max"], before[0]["max"]);
        assert_eq!(after[0]["blast_radius"]["share_of_capacity"], 0.5);
        assert_eq!(after[3]["rate"], json!({"count": 60, "per_ms": 10_000}));
        let zero = json!([{"name": "x", "cooldown_ms": 0}]);
        assert_eq!(compress(&zero, 60.0)[0]["cooldown_ms"], 0);
    }

    #[test]
    fn what_was_lent_is_put_back_though_the_revision_moves() {
        let guard = Guard::new();
        let before = guard.state();
        block(async {
            let rules = Before::read(&guard, 60.0).await.unwrap();
            *guard.conflicts.borrow_mut() = 3;
            rules.lend(&guard).await.unwrap();
            assert_eq!(guard.state().1, ("automatic".into(), "automatic".into()));
            assert_ne!(guard.state().0, before.0);
            *guard.conflicts.borrow_mut() = 3;
            assert_eq!(rules.restore(&guard).await.unwrap(), Restored::All);
        });
        assert_eq!(guard.state(), before);
    }

    #[test]
    fn after_an_error_the_rest_is_put_back_and_a_second_try_completes_it() {
        let guard = Guard::new();
        let before = guard.state();
        block(async {
            let rules = Before::read(&guard, 60.0).await.unwrap();
            rules.lend(&guard).await.unwrap();
            *guard.broken.borrow_mut() = true;
            assert!(rules.restore(&guard).await.is_err());
            assert_eq!(guard.state().0, before.0, "the limits are back");
            *guard.broken.borrow_mut() = false;
            assert_eq!(rules.restore(&guard).await.unwrap(), Restored::All);
        });
        assert_eq!(guard.state(), before);
    }

    #[test]
    fn limits_that_somebody_changed_meanwhile_are_left_alone() {
        let guard = Guard::new();
        block(async {
            let rules = Before::read(&guard, 60.0).await.unwrap();
            rules.lend(&guard).await.unwrap();
            *guard.limits.borrow_mut() = json!([]);
            assert_eq!(rules.restore(&guard).await.unwrap(), Restored::LimitsAreOthers);
        });
        assert_eq!(guard.state(), (json!([]), ("observe".into(), "approve".into())));
    }

    #[test]
    fn a_demo_that_was_killed_is_cleaned_up_after_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let file = file_in(folder.path()).unwrap();
        let guard = Guard::new();
        let before = guard.state();
        block(async {
            let rules = Before::read(&guard, 60.0).await.unwrap();
            rules.keep(&file).unwrap();
            rules.lend(&guard).await.unwrap();
            drop(rules);
            let left = Before::left(&file).unwrap().unwrap();
            assert_eq!(left.restore(&guard).await.unwrap(), Restored::All);
        });
        assert_eq!(guard.state(), before);
        assert_eq!(Before::left(&folder.path().join("none")).unwrap(), None);
    }
}
