//! What answers say when something is to be done: the command, and that nothing was done.

use oag_types::{Service, ServiceName};

use super::Facts;
use super::compose::Writer;
use super::planned::pick;
use super::question::SERVICES_MAX;
use super::wish::{Number, Verb, Wish};
use super::words::{join, say};

impl Writer<'_> {
    pub(super) fn wish(&mut self, wish: &Wish, services: &[ServiceName], facts: &Facts) {
        let l = self.language;
        self.line(say!(
            l,
            ("我只回答问题，没有执行任何操作。"),
            ("I only answer questions; I did nothing.")
        ));
        self.stopped(facts);
        if wish.verb == Verb::Other {
            self.line(say!(
                l,
                ("我不知道哪条命令能做这件事；`openautoglm --help` 列出全部命令，`openautoglm get kinds` 列出操作种类。"),
                ("I know no command for that; `openautoglm --help` lists all commands, `openautoglm get kinds` the kinds of actions.")
            ));
            return;
        }
        self.line(say!(l, ("可以用这样的命令："), ("This would do it:")));
        if services.is_empty() || wish.verb.is_about_no_service() {
            let command = command(wish, None);
            self.line(format!("  `{command}`"));
        }
        let known = services.iter().filter_map(|name| facts.service(name)).take(SERVICES_MAX);
        for service in known.filter(|_| !wish.verb.is_about_no_service()) {
            let command = command(wish, Some(service));
            self.line(format!("  `{command}`"));
            self.bounds(wish, service, facts);
            self.in_hand(&service.name, facts);
        }
        self.more(services.len().saturating_sub(SERVICES_MAX));
        if wish.verb.is_planned() {
            self.line(say!(
                l,
                ("它只生成计划，由守卫判断；之后 `openautoglm apply pln_…` 才会执行。大写的词需要您填写。"),
                ("It makes a plan, which the guard judges; `openautoglm apply pln_…` then sets it to work. Words in capitals are for you to fill in.")
            ));
        }
    }

    /// What the catalogue and the present state say about the number that is wanted.
    fn bounds(&mut self, wish: &Wish, service: &Service, facts: &Facts) {
        let l = self.language;
        let (least, most) = (service.scaling.min_replicas, service.scaling.max_replicas);
        match wish.number {
            Some(Number::To(wanted)) if !(least..=most).contains(&wanted) => self.line(say!(
                l,
                ("  目录规定 {least} 到 {most} 个副本，{wanted} 不在其中。"),
                ("  the catalogue allows {least} to {most} replicas; {wanted} is outside")
            )),
            Some(Number::Relative) => {
                let state = facts.states.get(&service.name);
                let now = state.and_then(|state| state.number("replicas"));
                let now = now.map_or_else(|| "?".to_owned(), crate::decide::numbers::num);
                self.line(say!(
                    l,
                    ("  NUMBER 是要达到的副本数，现在是 {now} 个"),
                    ("  NUMBER is the count to reach; now there are {now}")
                ));
            }
            _ => {}
        }
    }

    fn in_hand(&mut self, service: &ServiceName, facts: &Facts) {
        let live = pick(facts, std::slice::from_ref(service), |plan| {
            !plan.phase.is_final() && plan.sealed.plan().expires_at > facts.at
        });
        if !live.is_empty() {
            let l = self.language;
            let ids = join(live.iter().take(SERVICES_MAX).map(|plan| plan.id()), l);
            self.line(say!(
                l,
                ("  该服务已有未结束的计划：{ids}"),
                ("  in hand on it already: {ids}")
            ));
        }
    }
}

impl Verb {
    const fn is_about_no_service(self) -> bool {
        matches!(self, Self::Kill(_) | Self::Approve | Self::Apply | Self::Cancel)
    }

    const fn is_planned(self) -> bool {
        !self.is_about_no_service()
    }
}

/// Made of fixed words, checked names, numbers and ids: it can be copied as it is.
fn command(wish: &Wish, service: Option<&Service>) -> String {
    let name = service.map_or("SERVICE", |service| service.name.as_str());
    let plan = wish.plan.map_or_else(|| "pln_…".to_owned(), |plan| plan.to_string());
    let planned = |kind: &str, parameters: &str| {
        format!("openautoglm plan {kind} {name}{parameters} --reason \"WHY\"")
    };
    let number = match wish.number {
        Some(Number::To(number)) => number.to_string(),
        Some(Number::Relative) | None => "NUMBER".to_owned(),
    };
    match wish.verb {
        Verb::Scale => planned("scale", &format!(" --replicas {number}")),
        Verb::Restart => planned("restart", ""),
        Verb::Start => planned("start", ""),
        Verb::Stop => planned("stop", ""),
        Verb::Rollback => planned("rollback", ""),
        Verb::Deploy => planned("deploy", " --param version=VERSION"),
        Verb::Configure => planned("configure", " --params '{\"set\": {\"KEY\": \"VALUE\"}}'"),
        Verb::Shed => planned("shed", " --param feature=FEATURE"),
        Verb::Restore => planned("restore", " --param feature=FEATURE"),
        Verb::Trip => format!("openautoglm breaker trip {name} --reason \"WHY\""),
        Verb::Reset => format!("openautoglm breaker reset {name} --reason \"WHY\""),
        Verb::Kill(true) => "openautoglm kill-switch on --reason \"WHY\"".to_owned(),
        Verb::Kill(false) => "openautoglm kill-switch off --reason \"WHY\"".to_owned(),
        Verb::Approve => format!("openautoglm approve {plan}"),
        Verb::Apply => format!("openautoglm apply {plan}"),
        Verb::Cancel => format!("openautoglm cancel {plan} --reason \"WHY\""),
        Verb::Other => "openautoglm --help".to_owned(),
    }
}
