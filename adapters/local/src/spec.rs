//! The `spec` of a service for this executor, read field by field so that each error names its
//! place.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oag_guard::{BreakerConfig, GuardError};
use oag_types::Problem;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Longest command, most variables, longest text of a spec.
const ITEMS_MAX: usize = 256;
const TEXT_MAX: usize = 32 << 10;

/// How one version is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionSpec {
    /// Program and arguments; `{port}` stands for the replica's port.
    pub command: Vec<String>,
    /// Variables on top of the service's own.
    pub env: BTreeMap<String, String>,
}

/// How a replica shows that it can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSpec {
    /// Path asked by GET, healthy when the status is below 400; none: a connection is enough.
    pub path: Option<String>,
    /// How often, in milliseconds.
    pub interval_ms: Option<u64>,
    /// How long an answer may take, in milliseconds.
    pub timeout_ms: Option<u64>,
}

/// A prepared script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptSpec {
    /// Program and first arguments; those of the action follow.
    pub command: Vec<String>,
    /// How long it may run, in milliseconds.
    pub timeout_ms: u64,
}

/// What the executor needs to run a service.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalSpec {
    /// Program and arguments; `{port}` stands for the replica's port.
    pub command: Vec<String>,
    /// The version that `command` runs.
    pub version: String,
    /// How other versions are run.
    pub versions: BTreeMap<String, VersionSpec>,
    /// Variables of every replica and script.
    pub env: BTreeMap<String, String>,
    /// Configuration: one variable each, and all of it as JSON in `CONFIG`.
    pub config: BTreeMap<String, String>,
    /// Where replicas and scripts run.
    pub cwd: Option<PathBuf>,
    /// The balancer's port; 0: one is chosen and kept.
    pub listen_port: u16,
    /// How a replica shows that it can serve.
    pub health: HealthSpec,
    /// Requests a replica gets at once; without it no limit and no utilisation.
    pub concurrency_per_replica: Option<u32>,
    /// How long a healthy replica waits before it gets requests, in milliseconds.
    pub warmup_ms: u64,
    /// Replicas at first; then what was set last counts.
    pub replicas: Option<u32>,
    /// Prepared scripts.
    pub scripts: BTreeMap<String, ScriptSpec>,
    /// When requests are no longer sent.
    pub breaker: BreakerConfig,
    /// Labels for people; not used here.
    pub labels: BTreeMap<String, String>,
}

impl LocalSpec {
    /// Reads a spec.
    ///
    /// # Errors
    /// A problem that names the field.
    pub fn read(spec: &Value) -> Result<Self, Problem> {
        let mut fields = Fields::of("spec", spec)?;
        let read = Self {
            command: fields.command()?,
            version: fields.or("version", || "1".to_owned())?,
            versions: fields.each("versions", |mut version| {
                let read = VersionSpec { command: version.command()?, env: version.env("env")? };
                version.end()?;
                Ok(read)
            })?,
            env: fields.env("env")?,
            config: fields.env("config")?,
            cwd: fields.take("cwd")?,
            listen_port: fields.or("listen_port", || 0)?,
            health: fields.health()?,
            concurrency_per_replica: fields.take("concurrency_per_replica")?,
            warmup_ms: fields.or("warmup_ms", || 0)?,
            replicas: fields.take("replicas")?,
            scripts: fields.each("scripts", |mut script| {
                let timeout_ms = script.or("timeout_ms", || 60_000)?;
                script.within("timeout_ms", timeout_ms, 1, 3_600_000)?;
                let read = ScriptSpec { command: script.command()?, timeout_ms };
                script.end()?;
                Ok(read)
            })?,
            breaker: fields.or("breaker", BreakerConfig::default)?,
            labels: fields.or("labels", BTreeMap::new)?,
        };
        read.check(&fields)?;
        fields.end()?;
        Ok(read)
    }

    fn check(&self, fields: &Fields) -> Result<(), Problem> {
        if self.version.is_empty() || self.version.len() > 128 {
            return Err(fields.problem("version", "must have 1 to 128 characters"));
        }
        if self.versions.contains_key(&self.version) {
            let message = format!("'{}' is already run by spec.command", self.version);
            return Err(fields.problem("versions", message));
        }
        if self.concurrency_per_replica == Some(0) {
            return Err(fields.problem("concurrency_per_replica", "must be at least 1"));
        }
        fields.within("warmup_ms", self.warmup_ms, 0, 3_600_000)?;
        if let Some(cwd) = &self.cwd
            && !cwd.is_absolute()
        {
            return Err(fields.problem("cwd", "must be an absolute path"));
        }
        self.breaker.validate().map_err(|error| match error {
            GuardError::Invalid { field, problem } => {
                fields.problem(&format!("breaker.{field}"), problem)
            }
            other => fields.problem("breaker", other.to_string()),
        })?;
        Ok(())
    }

    /// How a version is run, when the spec says so.
    pub(crate) fn version(&self, version: &str) -> Option<VersionSpec> {
        if version == self.version {
            return Some(VersionSpec { command: self.command.clone(), env: BTreeMap::new() });
        }
        self.versions.get(version).cloned()
    }
}

/// The fields of an object that were not read yet.
struct Fields {
    path: String,
    left: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    fn of(path: impl Into<String>, value: &Value) -> Result<Self, Problem> {
        let path = path.into();
        match value {
            Value::Object(left) => Ok(Self { path, left: left.clone(), known: Vec::new() }),
            Value::Null => Err(Problem::field(path, "is missing: give at least a command")),
            _ => Err(Problem::field(path, "must be an object")),
        }
    }

    fn problem(&self, field: &str, message: impl Into<String>) -> Problem {
        Problem::field(format!("{}.{field}", self.path), message)
    }

    fn take<T: DeserializeOwned>(&mut self, field: &'static str) -> Result<Option<T>, Problem> {
        self.known.push(field);
        match self.left.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value)
                .map(Some)
                .map_err(|error| self.problem(field, error.to_string())),
        }
    }

    fn or<T: DeserializeOwned>(
        &mut self,
        field: &'static str,
        default: impl FnOnce() -> T,
    ) -> Result<T, Problem> {
        Ok(self.take(field)?.unwrap_or_else(default))
    }

    fn command(&mut self) -> Result<Vec<String>, Problem> {
        let example = "give program and arguments, such as [\"my-server\", \"--port\", \"{port}\"]";
        let command: Vec<String> = self
            .take("command")?
            .ok_or_else(|| self.problem("command", format!("is missing: {example}")))?;
        if command.first().is_none_or(String::is_empty) {
            return Err(self.problem("command", format!("is empty: {example}")));
        }
        if command.len() > ITEMS_MAX || command.iter().any(|part| part.len() > TEXT_MAX) {
            return Err(self.problem("command", "has too many or too long parts"));
        }
        if command.iter().any(|part| part.contains('\0')) {
            return Err(self.problem("command", "contains a NUL character"));
        }
        Ok(command)
    }

    fn env(&mut self, field: &'static str) -> Result<BTreeMap<String, String>, Problem> {
        let values: BTreeMap<String, String> = self.or(field, BTreeMap::new)?;
        if values.len() > ITEMS_MAX {
            return Err(self.problem(field, format!("has more than {ITEMS_MAX} entries")));
        }
        for (name, value) in &values {
            check_variable(name, value)
                .map_err(|message| self.problem(&format!("{field}.{name}"), message))?;
        }
        Ok(values)
    }

    fn each<T>(
        &mut self,
        field: &'static str,
        read: impl Fn(Fields) -> Result<T, Problem>,
    ) -> Result<BTreeMap<String, T>, Problem> {
        let values: BTreeMap<String, Value> = self.or(field, BTreeMap::new)?;
        if values.len() > ITEMS_MAX {
            return Err(self.problem(field, format!("has more than {ITEMS_MAX} entries")));
        }
        values
            .into_iter()
            .map(|(name, value)| {
                let path = format!("{}.{field}.{name}", self.path);
                Ok((name, read(Fields::of(path, &value)?)?))
            })
            .collect()
    }

    fn health(&mut self) -> Result<HealthSpec, Problem> {
        let value: Option<Value> = self.take("health")?;
        let Some(value) = value else {
            return Ok(HealthSpec { path: None, interval_ms: None, timeout_ms: None });
        };
        let mut fields = Fields::of(format!("{}.health", self.path), &value)?;
        let read = HealthSpec {
            path: fields.take("path")?,
            interval_ms: fields.take("interval_ms")?,
            timeout_ms: fields.take("timeout_ms")?,
        };
        if let Some(path) = &read.path
            && (!path.starts_with('/') || path.parse::<http::uri::PathAndQuery>().is_err())
        {
            return Err(fields.problem("path", "must be a path such as /healthz"));
        }
        for (field, value) in [("interval_ms", read.interval_ms), ("timeout_ms", read.timeout_ms)] {
            fields.within(field, value.unwrap_or(1_000), 10, 600_000)?;
        }
        fields.end()?;
        Ok(read)
    }

    fn within(&self, field: &str, value: u64, least: u64, most: u64) -> Result<(), Problem> {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        Err(self.problem(field, format!("{value} is not between {least} and {most}")))
    }

    /// Refuses what was not read.
    fn end(&self) -> Result<(), Problem> {
        let Some(unknown) = self.left.keys().next() else { return Ok(()) };
        let known = self.known.join(", ");
        Err(self.problem(unknown, format!("is not known; there are: {known}")))
    }
}

/// Why a variable cannot be passed to a process.
pub(crate) fn check_variable(name: &str, value: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > 256 || name.contains(['=', '\0']) {
        return Err("is not a name for a variable".to_owned());
    }
    if name == crate::process::MARKER || name == "PORT" {
        return Err("is set by the executor itself".to_owned());
    }
    if value.contains('\0') || value.len() > TEXT_MAX {
        return Err(format!("has a NUL character or is longer than {TEXT_MAX} bytes"));
    }
    Ok(())
}
