//! Every permission name the product uses, each with one line for people.

use oag_types::Permission;

macro_rules! permissions {
    ($($name:ident = $text:literal, $doc:literal;)*) => {
        $(#[doc = $doc] pub const $name: &str = $text;)*

        /// Every permission with its description, for the API description and the CLI.
        pub const ALL: &[(&str, &str)] = &[$(($text, $doc)),*];
    };
}

permissions! {
    SERVICE_VIEW = "service:view", "See services and their state.";
    SERVICE_CREATE = "service:create", "Put a service into the catalogue.";
    SERVICE_DELETE = "service:delete", "Take a service out of the catalogue.";
    SERVICE_DEPLOY = "service:deploy", "Deploy a version of a service.";
    SERVICE_START = "service:start", "Start a service.";
    SERVICE_STOP = "service:stop", "Stop a service.";
    SERVICE_SCALE = "service:scale", "Change the number of replicas.";
    SERVICE_RESTART = "service:restart", "Restart a service.";
    SERVICE_ROLLBACK = "service:rollback", "Go back to an earlier version.";
    SERVICE_CONFIGURE = "service:configure", "Change the configuration of a service.";
    CONFIG_WRITE = "config:write", "Change the configuration of the installation.";
    BREAKER_VIEW = "breaker:view", "See circuit breakers.";
    BREAKER_OPERATE = "breaker:operate", "Trip, reset and configure circuit breakers.";
    FEATURE_SHED = "feature:shed", "Switch features that are not core off and on.";
    SCRIPT_RUN = "script:run", "Run a script on the host of a service.";
    NOTIFY_SEND = "notify:send", "Send notifications.";
    SIGNAL_VIEW = "signal:view", "See signals.";
    SIGNAL_WRITE = "signal:write", "Send signals.";
    FINDING_VIEW = "finding:view", "See findings.";
    PLAN_VIEW = "plan:view", "See plans, verdicts and receipts.";
    PLAN_PROPOSE = "plan:propose", "Propose plans.";
    PLAN_APPLY = "plan:apply", "Set an allowed plan to work.";
    PLAN_APPROVE = "plan:approve", "Approve plans of others; people only.";
    POLICY_VIEW = "policy:view", "See policies.";
    POLICY_WRITE = "policy:write", "Change policies.";
    PRINCIPAL_VIEW = "principal:view", "See people and service accounts.";
    PRINCIPAL_WRITE = "principal:write", "Change people, service accounts and their roles.";
    KEY_VIEW = "key:view", "See API keys, never their secrets.";
    KEY_WRITE = "key:write", "Make and revoke API keys.";
    LEDGER_VIEW = "ledger:view", "Read and verify the ledger.";
    LEDGER_ERASE = "ledger:erase", "Erase personal data from the ledger.";
    LOG_VIEW = "log:view", "Read logs of services.";
    GUARD_VIEW = "guard:view", "See limits, freezes and approval rules.";
    GUARD_WRITE = "guard:write", "Change limits, freezes and approval rules.";
    KILLSWITCH_OPERATE = "killswitch:operate", "Switch the kill switch on and off.";
    AUTONOMY_WRITE = "autonomy:write", "Set rungs and ceilings of the autonomy ladder.";
    ANALYZE_RUN = "analyze:run", "Run an analysis.";
    NODE_VIEW = "node:view", "See nodes, models and queues of the fleet.";
    NODE_OPERATE = "node:operate", "Hold nodes back and disconnect them.";
    NODE_ENROL = "node:enrol", "Let nodes join with certificates, and revoke them.";
    MODEL_USE = "model:use", "Ask models for answers.";
    METRICS_VIEW = "metrics:view", "Read the metrics of the product itself.";
}

/// Whether the name is one of [`ALL`]. Patterns are not names.
#[must_use]
pub fn is_known(permission: &Permission) -> bool {
    ALL.iter().any(|(name, _)| *name == permission.as_str())
}

/// Whether `pattern` covers `wanted`: `*` stands for everything, and on either side of the colon
/// for any resource or any verb.
#[must_use]
pub fn covers(pattern: &Permission, wanted: &Permission) -> bool {
    if pattern.as_str() == "*" {
        return true;
    }
    let Some((resource, verb)) = pattern.as_str().split_once(':') else { return false };
    let Some((wanted_resource, wanted_verb)) = wanted.as_str().split_once(':') else {
        return false;
    };
    (resource == "*" || resource == wanted_resource) && (verb == "*" || verb == wanted_verb)
}

/// Whether the text is a pattern a policy may hold: `*`, or two sides of lower-case letters and
/// `_`, or `*`, around one colon.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    let side = |side: &str| {
        side == "*"
            || (!side.is_empty() && side.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    };
    text == "*" || text.split_once(':').is_some_and(|(left, right)| side(left) && side(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_well_formed() {
        let mut names: Vec<_> = ALL.iter().map(|(name, _)| *name).collect();
        assert!(names.iter().all(|name| is_pattern(name) && !name.contains('*')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn patterns_cover_sides() {
        let covers = |pattern, wanted| covers(&Permission::new(pattern), &Permission::new(wanted));
        assert!(covers("*", "log:view"));
        assert!(covers("*:view", "log:view"));
        assert!(covers("service:*", "service:stop"));
        assert!(!covers("service:*", "log:view"));
        assert!(!covers("*:view", "ledger:erase"));
        assert!(!covers("service", "service:stop"));
    }
}
