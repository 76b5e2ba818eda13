//! Words of answers in both languages, side by side.

use oag_pilot::Phase;
use oag_types::{FindingKind, Origin, Severity};

use crate::Language;

/// The same said in Chinese and in English.
macro_rules! say {
    ($language:expr, ($($zh:tt)*), ($($en:tt)*)) => {
        match $language {
            $crate::Language::Chinese => format!($($zh)*),
            $crate::Language::English => format!($($en)*),
        }
    };
}
pub(super) use say;

pub(super) const fn severity(severity: Severity, language: Language) -> &'static str {
    let (zh, en) = match severity {
        Severity::Info => ("提示", "info"),
        Severity::Warning => ("警告", "warning"),
        Severity::Critical => ("严重", "critical"),
    };
    pick(language, zh, en)
}

pub(super) const fn kind(kind: FindingKind, language: Language) -> &'static str {
    let (zh, en) = match kind {
        FindingKind::Anomaly => ("异常", "anomaly"),
        FindingKind::ForecastOverload => ("预计过载", "forecast overload"),
        FindingKind::Overload => ("过载", "overload"),
        FindingKind::Surplus => ("容量富余", "surplus"),
        FindingKind::Errors => ("错误", "errors"),
        FindingKind::Latency => ("延迟", "latency"),
        FindingKind::MissingData => ("缺少数据", "missing data"),
        FindingKind::Calm => ("平稳", "calm"),
        FindingKind::Unhealthy => ("不健康", "unhealthy"),
    };
    pick(language, zh, en)
}

pub(super) const fn phase(phase: Phase, language: Language) -> &'static str {
    let (zh, en) = match phase {
        Phase::Proposed => ("已提出", "proposed"),
        Phase::AwaitingApproval => ("等待批准", "waiting for approval"),
        Phase::Queued => ("排队中", "queued"),
        Phase::Running => ("执行中", "running"),
        Phase::Succeeded => ("已成功", "succeeded"),
        Phase::Undone => ("已撤回", "undone"),
        Phase::Failed => ("失败", "failed"),
        Phase::OutcomeUnknown => ("结果未知", "outcome unknown"),
        Phase::Denied => ("被拒绝", "denied"),
        Phase::Expired => ("已过期", "expired"),
        Phase::Cancelled => ("已取消", "cancelled"),
        Phase::Superseded => ("被取代", "superseded"),
    };
    pick(language, zh, en)
}

pub(super) const fn origin(origin: Origin, language: Language) -> &'static str {
    let (zh, en) = match origin {
        Origin::Loop => ("由自动循环提出", "by the loop"),
        Origin::Request => ("按请求提出", "on request"),
        Origin::Model => ("由模型提出", "by a model"),
    };
    pick(language, zh, en)
}

/// What stands between items of a list.
pub(super) fn join(items: impl IntoIterator<Item = impl ToString>, language: Language) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(pick(language, "、", ", "))
}

const fn pick(language: Language, zh: &'static str, en: &'static str) -> &'static str {
    match language {
        Language::Chinese => zh,
        Language::English => en,
    }
}
