//! Limits as data: bounds, step sizes, cool-downs, rates and blast radius.

use oag_types::{GroupName, KindName, ServiceName};
use serde::{Deserialize, Serialize};

use crate::{GuardError, Selector};

/// Every limit of a tenant. All rules that select an action bind it; more rules only ever allow
/// less.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The rules; their order has no meaning.
    pub rules: Vec<LimitRule>,
}

/// One limit. Parts left out do not bind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitRule {
    /// A name for reasons and error messages, unique among the rules.
    pub name: String,
    /// Which actions it binds.
    #[serde(default)]
    pub selector: Selector,
    /// Which quantity `min`, `max` and the steps are about, such as `replicas`; any when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<String>,
    /// The quantity may not be set below this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The quantity may not be set above this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Largest change in one direction within `step_window_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_step: Option<f64>,
    /// Largest change in one direction within `step_window_ms`, as a share of the value it
    /// started from. From zero there is no share: `max_step` must be given then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_step_ratio: Option<f64>,
    /// Changes of the same quantity of the same service within this time count as one step, so
    /// that several plans get no further than one.
    #[serde(default = "minute")]
    pub step_window_ms: i64,
    /// Time that must pass between two actions of the same kind on the same service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown_ms: Option<i64>,
    /// The same for actions that raise the quantity; `cooldown_ms` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown_up_ms: Option<i64>,
    /// Most selected actions in a time, over all selected services together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How much may be touched in a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blast_radius: Option<BlastRadius>,
}

/// So many in such a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Most actions.
    pub count: u32,
    /// Within this many milliseconds.
    pub per_ms: i64,
}

/// How much may be touched in a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlastRadius {
    /// Most different services touched by selected actions within the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services_per_window: Option<u32>,
    /// Length of the window.
    pub window_ms: i64,
    /// Largest share of a service's replicas that selected actions may take away or restart
    /// within the window, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_of_capacity: Option<f64>,
}

/// A quantity that an action changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    /// Its name, such as `replicas`.
    pub name: String,
    /// Its value now, as read from the executor.
    pub from: f64,
    /// Its value afterwards.
    pub to: f64,
}

impl LimitRule {
    /// A rule that binds nothing yet.
    #[must_use]
    pub fn new(name: impl Into<String>, selector: Selector) -> Self {
        Self {
            name: name.into(),
            selector,
            quantity: None,
            min: None,
            max: None,
            max_step: None,
            max_step_ratio: None,
            step_window_ms: minute(),
            cooldown_ms: None,
            cooldown_up_ms: None,
            rate: None,
            blast_radius: None,
        }
    }

    /// Whether it binds an action of this kind on this service of this group.
    #[must_use]
    pub fn selects(&self, kind: &KindName, service: &ServiceName, group: &GroupName) -> bool {
        self.selector.matches(kind, service, group)
    }

    /// Whether bounds and steps are about this quantity.
    #[must_use]
    pub fn binds_quantity(&self, quantity: &Quantity) -> bool {
        self.quantity.as_ref().is_none_or(|name| *name == quantity.name)
    }

    /// The longest time this rule looks back.
    #[must_use]
    pub fn looks_back_ms(&self) -> i64 {
        let steps = if self.max_step.is_some() || self.max_step_ratio.is_some() {
            self.step_window_ms
        } else {
            0
        };
        let rate = self.rate.map_or(0, |rate| rate.per_ms);
        let radius = self.blast_radius.map_or(0, |radius| radius.window_ms);
        let cooldown = self.cooldown_ms.unwrap_or(0).max(self.cooldown_up_ms.unwrap_or(0));
        steps.max(rate).max(radius).max(cooldown)
    }

    fn validate(&self, at: &str) -> Result<(), GuardError> {
        self.selector.validate(&format!("{at}.selector"))?;
        let wrong = |field: &str, problem: &str| {
            Err(GuardError::invalid(format!("{at}.{field}"), format!("{}: {problem}", self.name)))
        };
        for (field, value) in [("min", self.min), ("max", self.max)] {
            if value.is_some_and(|value| !value.is_finite()) {
                return wrong(field, "must be a finite number");
            }
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            return wrong("min", "must not be above max");
        }
        for (field, value) in [("max_step", self.max_step), ("max_step_ratio", self.max_step_ratio)]
        {
            if value.is_some_and(|value| !value.is_finite() || value < 0.0) {
                return wrong(field, "must be a finite number, 0 or more");
            }
        }
        if self.step_window_ms < 0 {
            return wrong("step_window_ms", "must be 0 or more");
        }
        for (field, value) in
            [("cooldown_ms", self.cooldown_ms), ("cooldown_up_ms", self.cooldown_up_ms)]
        {
            if value.is_some_and(|value| value < 0) {
                return wrong(field, "must be 0 or more");
            }
        }
        if self.rate.is_some_and(|rate| rate.per_ms <= 0) {
            return wrong("rate.per_ms", "must be above 0");
        }
        if let Some(radius) = self.blast_radius {
            if radius.window_ms <= 0 {
                return wrong("blast_radius.window_ms", "must be above 0");
            }
            if radius.share_of_capacity.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
                return wrong("blast_radius.share_of_capacity", "must be between 0 and 1");
            }
        }
        Ok(())
    }
}

impl Limits {
    /// The longest time any rule looks back.
    #[must_use]
    pub fn looks_back_ms(&self) -> i64 {
        self.rules.iter().map(LimitRule::looks_back_ms).max().unwrap_or(0)
    }

    /// Checks that every rule can mean something.
    ///
    /// # Errors
    /// The first field that is wrong, by its path.
    pub fn validate(&self) -> Result<(), GuardError> {
        for (index, rule) in self.rules.iter().enumerate() {
            let at = format!("limits.rules[{index}]");
            if rule.name.trim().is_empty() {
                return Err(GuardError::invalid(format!("{at}.name"), "must not be empty"));
            }
            if self.rules[..index].iter().any(|earlier| earlier.name == rule.name) {
                let problem = format!("'{}' is used by an earlier rule", rule.name);
                return Err(GuardError::invalid(format!("{at}.name"), problem));
            }
            rule.validate(&at)?;
        }
        Ok(())
    }
}

impl Default for Limits {
    /// Conservative limits for a new installation, described in `docs/guard.md`.
    fn default() -> Self {
        let mut replicas = LimitRule::new("replicas", Selector::kinds(&["scale"]));
        replicas.quantity = Some("replicas".to_owned());
        replicas.min = Some(1.0);
        replicas.max = Some(20.0);
        replicas.max_step = Some(5.0);
        replicas.cooldown_ms = Some(240_000);
        replicas.cooldown_up_ms = Some(20_000);
        replicas.blast_radius = Some(BlastRadius {
            services_per_window: Some(10),
            window_ms: 600_000,
            share_of_capacity: Some(0.5),
        });

        let mut again = LimitRule::new("again", Selector::kinds(&["restart", "deploy"]));
        again.cooldown_ms = Some(60_000);

        let disruptive = ["restart", "stop", "deploy", "configure", "script*"];
        let mut disruption = LimitRule::new("disruption", Selector::kinds(&disruptive));
        disruption.blast_radius = Some(BlastRadius {
            services_per_window: Some(3),
            window_ms: 600_000,
            share_of_capacity: None,
        });

        let rescuing = ["notify*", "*breaker*", "*shed*", "rollback*"];
        let except_kinds = rescuing.iter().map(|kind| (*kind).to_owned()).collect();
        let mut pace = LimitRule::new("pace", Selector { except_kinds, ..Selector::default() });
        pace.rate = Some(Rate { count: 60, per_ms: 600_000 });

        Self { rules: vec![replicas, again, disruption, pace] }
    }
}

const fn minute() -> i64 {
    60_000
}
