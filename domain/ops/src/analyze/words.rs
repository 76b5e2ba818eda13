//! The sentences of an analysis, in both languages, side by side.

use oag_types::ServiceName;

use super::Language;
use crate::decide::numbers::{num, percent};

/// Writes in one language.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words(pub(super) Language);

/// Chinese when the text has a Chinese character, English otherwise.
pub(crate) fn language_of(text: Option<&str>) -> Language {
    let han = |c: char| matches!(c, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}');
    if text.is_some_and(|text| text.chars().any(han)) {
        Language::Chinese
    } else {
        Language::English
    }
}

macro_rules! say {
    ($self:ident, $zh:expr, $en:expr) => {
        match $self.0 {
            Language::Chinese => $zh,
            Language::English => $en,
        }
    };
}

impl Words {
    pub(super) fn scale(self, service: &ServiceName, replicas: u32) -> String {
        say!(
            self,
            format!("将 {service} 扩容到 {replicas} 个副本"),
            format!("scale {service} to {replicas} replicas")
        )
    }

    pub(super) fn scale_which(self, ratio: f64, several: &[ServiceName]) -> String {
        let which = self.which(several);
        let ratio = num(ratio);
        say!(
            self,
            format!("{which}需要扩容到当前副本数的 {ratio} 倍"),
            format!("{which} It needs {ratio} times its present replicas")
        )
    }

    pub(super) fn which(self, several: &[ServiceName]) -> String {
        let names: Vec<_> = several.iter().map(ServiceName::as_str).collect();
        let names = names.join(", ");
        if several.is_empty() {
            say!(self, "请说明是哪个服务：".to_owned(), "which service is meant?".to_owned())
        } else {
            say!(
                self,
                format!("请说明是哪个服务（{names}）："),
                format!("which service is meant ({names})?")
            )
        }
    }

    pub(super) fn at_max(self, service: Option<&ServiceName>, most: u32) -> String {
        let it = self.it(service);
        say!(
            self,
            format!("{it}已达到副本上限 {most}，不能再扩容：请提高上限或降级非核心功能"),
            format!(
                "{it} is at its maximum of {most} replicas: raise it, or shed what is not core"
            )
        )
    }

    pub(super) fn no_action(self, service: Option<&ServiceName>) -> String {
        let it = self.it(service);
        say!(self, format!("无需操作：{it}运行平稳"), format!("no action: {it} is calm"))
    }

    pub(super) fn no_action_falling(self, service: Option<&ServiceName>) -> String {
        let it = self.it(service);
        say!(
            self,
            format!("无需操作：{it}负载在下降，单次分析不建议缩容"),
            format!(
                "no action: load of {it} is falling; replicas are not removed on a one-off analysis"
            )
        )
    }

    pub(super) fn investigate_errors(
        self,
        service: Option<&ServiceName>,
        released: bool,
    ) -> String {
        let it = self.it(service);
        if released {
            return say!(
                self,
                format!("先确认{it}的错误是否由最近的发布引起，如是则回滚；负载不高，不扩容"),
                format!(
                    "find out whether the errors of {it} came with the release and roll back if so; load is low, do not scale"
                )
            );
        }
        say!(
            self,
            format!("排查{it}的错误原因（最近有发布吗？）；负载不高，不扩容"),
            format!(
                "look into the errors of {it} (was there a release?); load is low, do not scale"
            )
        )
    }

    pub(super) fn investigate_latency(self, service: Option<&ServiceName>) -> String {
        let it = self.it(service);
        say!(
            self,
            format!("排查{it}的延迟原因（下游依赖？慢查询？）；负载不高，不扩容"),
            format!(
                "look into the latency of {it} (a dependency, slow queries?); load is low, do not scale"
            )
        )
    }

    pub(super) fn investigate_memory(self, service: Option<&ServiceName>) -> String {
        let it = self.it(service);
        say!(
            self,
            format!("排查{it}的内存占用（是否泄漏？）；仅凭内存不扩容"),
            format!(
                "look into the memory of {it} (does it leak?); memory alone does not call for replicas"
            )
        )
    }

    pub(super) fn investigate_anomaly(self, service: Option<&ServiceName>, names: &str) -> String {
        let it = self.it(service);
        say!(
            self,
            format!("请确认{it}的 {names} 异常是否符合预期；暂不操作"),
            format!("is the unusual {names} of {it} expected? nothing else calls for action")
        )
    }

    pub(super) fn more_data(self, points: usize, least: usize) -> String {
        say!(
            self,
            format!("数据不足（最多只有 {points} 个可用点）：请提供至少 {least} 个点再分析"),
            format!(
                "too little data (at most {points} usable points): send at least {least} points"
            )
        )
    }

    pub(super) fn ask_utilisation(self) -> String {
        say!(
            self,
            "请求量在上升，但无法判断容量：请提供 cpu_usage 或单副本容量".to_owned(),
            "requests are growing, but capacity is not known: send cpu_usage or the capacity of a replica".to_owned()
        )
    }

    fn it(self, service: Option<&ServiceName>) -> String {
        match (service, self.0) {
            (Some(service), Language::Chinese) => format!(" {service} "),
            (Some(service), Language::English) => service.to_string(),
            (None, Language::Chinese) => "该服务".to_owned(),
            (None, Language::English) => "the service".to_owned(),
        }
    }

    pub(super) fn not_named(self) -> String {
        say!(self, "未指明目标服务".to_owned(), "target service is not named".to_owned())
    }

    pub(super) fn assumed_replicas(self, replicas: u32, level: f64, target: f64) -> String {
        let (level, target) = (num(level), num(target));
        say!(
            self,
            format!(
                "未提供当前副本数，假设为 {replicas}；若为 n，则需要 ceil(n * {level} / {target})"
            ),
            format!(
                "present replicas are not stated; {replicas} assumed. With n of them, ceil(n * {level} / {target}) are needed"
            )
        )
    }

    pub(super) fn unequal_lengths(self) -> String {
        say!(
            self,
            "各指标长度不同，按最新一端对齐".to_owned(),
            "the metrics differ in length; aligned at the newest end".to_owned()
        )
    }

    pub(super) fn dropped(self, name: &str, dropped: usize, of: usize) -> String {
        say!(
            self,
            format!("{name} 的 {of} 个值中有 {dropped} 个不可用，已忽略"),
            format!("{dropped} of {of} values of {name} are not usable and were left out")
        )
    }

    pub(super) fn too_short(self, name: &str, points: usize, least: usize) -> String {
        say!(
            self,
            format!("{name} 只有 {points} 个可用点，少于 {least} 个，不作判断"),
            format!(
                "{name} has {points} usable points, fewer than {least}; nothing is judged from it"
            )
        )
    }

    pub(super) fn unknown_metrics(self, names: &[String]) -> String {
        let names = names.join(", ");
        say!(
            self,
            format!("未知指标按一般序列分析：{names}"),
            format!("metrics without a known meaning are only looked at for anomalies: {names}")
        )
    }

    pub(super) fn taken_as_share(self, name: &str) -> String {
        say!(
            self,
            format!("{name} 的值都不超过 1，按比例（0 到 1）而非百分数处理"),
            format!("no value of {name} is above 1: taken as a share, not as percent")
        )
    }

    pub(super) fn taken_as_percent(self, name: &str) -> String {
        say!(
            self,
            format!("{name} 有大于 1 的值，按百分数处理"),
            format!("{name} has values above 1: taken as percent")
        )
    }

    pub(super) fn unclear_cpu(self, name: &str) -> String {
        say!(
            self,
            format!("{name} 超过 150%，不清楚是几个核心，不作判断"),
            format!(
                "{name} is above 150 %: of how many cores is not clear; nothing is judged from it"
            )
        )
    }

    pub(super) fn bounded(self, needed: u32, most: u32) -> String {
        say!(
            self,
            format!("需要 {needed} 个副本，上限为 {most}"),
            format!("{needed} replicas are needed; the maximum is {most}")
        )
    }

    pub(super) fn overload(self, what: &str, level: f64, threshold: f64, ahead: bool) -> String {
        let (level, threshold) = (percent(level), percent(threshold));
        if ahead {
            return say!(
                self,
                format!("{what} 预计达到 {level}，超过 {threshold}"),
                format!("{what} is forecast to reach {level}, over {threshold}")
            );
        }
        say!(
            self,
            format!("{what} 达到 {level}，超过 {threshold}"),
            format!("{what} reaches {level}, over {threshold}")
        )
    }

    pub(super) fn errors(self, share: f64) -> String {
        let share = percent(share);
        say!(self, format!("错误率为 {share}"), format!("{share} of the requests fail"))
    }

    pub(super) fn latency(self, now: f64, usual: f64) -> String {
        let (now, usual) = (num(now), num(usual));
        say!(
            self,
            format!("延迟为 {now} ms，平时为 {usual} ms"),
            format!("latency is {now} ms, usually {usual} ms")
        )
    }

    pub(super) fn anomaly(self, name: &str, value: f64, usual: f64) -> String {
        let (value, usual) = (num(value), num(usual));
        say!(
            self,
            format!("{name} 为 {value}，平时约为 {usual}"),
            format!("{name} is {value}, usually about {usual}")
        )
    }

    pub(super) fn calm(self) -> String {
        say!(
            self,
            "各指标均在正常范围内".to_owned(),
            "every metric is within its usual range".to_owned()
        )
    }

    pub(super) fn fact(self, name: &str, first: f64, last: f64, highest: f64) -> String {
        let (first, last, highest) = (num(first), num(last), num(highest));
        say!(
            self,
            format!("{name}：从 {first} 到 {last}，最高 {highest}"),
            format!("{name}: from {first} to {last}, highest {highest}")
        )
    }

    pub(super) fn errors_from_load(self) -> String {
        say!(
            self,
            "资源已饱和，错误视为过载所致".to_owned(),
            "resources are saturated: the errors are taken as a consequence".to_owned()
        )
    }
}
