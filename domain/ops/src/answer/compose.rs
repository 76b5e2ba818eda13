//! Puts an answer together, topic by topic.

use oag_guard::KillScope;
use oag_types::{Service, ServiceName};

use super::Facts;
use super::question::{Asked, Question, SERVICES_MAX, Topic};
use super::quote::quote;
use super::words::{join, say};
use crate::Language;

/// Items of one list that are shown; the others are counted.
pub(super) const SHOWN_MAX: usize = 8;

/// Writes one answer, line by line.
pub(super) struct Writer<'a> {
    pub(super) language: Language,
    question: Question,
    facts: Option<&'a Facts>,
    lines: Vec<String>,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(question: Question, facts: Option<&'a Facts>) -> Self {
        Self { language: question.language, question, facts, lines: Vec::new() }
    }

    pub(super) fn write(mut self) -> String {
        let asked = std::mem::take(&mut self.question.asked);
        let only_about = !asked.is_empty() && asked.iter().all(|a| a.topic == Topic::About);
        match self.facts {
            None if only_about => self.about(),
            None => self.stranger(),
            Some(facts) if only_about || sees_nothing(facts) => {
                if !only_about {
                    self.nothing_to_see();
                }
                self.about();
            }
            Some(facts) => asked.iter().for_each(|asked| self.topic(asked, facts)),
        }
        self.not_answered(asked.is_empty());
        let mut text = self.lines.join("\n");
        text.push('\n');
        text
    }

    pub(super) fn line(&mut self, line: String) {
        self.lines.push(line);
    }

    fn topic(&mut self, asked: &Asked, facts: &Facts) {
        self.strangers(asked, facts);
        let only_strangers = asked.services.is_empty() && !asked.strangers.is_empty();
        if only_strangers
            && matches!(asked.topic, Topic::Status | Topic::Problems | Topic::Replicas)
        {
            return;
        }
        let services = &asked.services;
        match &asked.topic {
            Topic::About => self.about(),
            Topic::Status | Topic::Problems if services.is_empty() => self.problems(facts),
            Topic::Status | Topic::Problems => self.each(services, facts, Self::status),
            Topic::Replicas => self.replicas(services, facts),
            Topic::Waiting => self.waiting(services, facts),
            Topic::Running => self.running(services, facts),
            Topic::Setbacks => self.setbacks(services, facts),
            Topic::Done => self.done(services, facts),
            Topic::KillSwitch => self.kill_switch(facts),
            Topic::Services => self.services(facts),
            Topic::Plan(id) => self.one_plan(*id, facts),
            Topic::Story(id) => self.one_story(*id, facts),
            Topic::Finding(id) => self.one_finding(*id, facts),
            Topic::Do(wish) => self.wish(wish, services, facts),
        }
    }

    /// What answers here.
    fn about(&mut self) {
        let l = self.language;
        self.line(say!(
            l,
            (
                "我是 autoglm-rules：按固定规则，用本产品自己的记录（发现、计划、服务目录）回答运维问题。我不是语言模型，也不执行任何操作；同样的问题和同样的记录，答案总是一样。我只读最后一条用户消息。"
            ),
            (
                "I am autoglm-rules: I answer questions about operation by fixed rules, from this product's own records (findings, plans, the catalogue). I am no language model, and I execute nothing; the same question and the same records give the same answer. I read the last message of the user only."
            )
        ));
        self.line(say!(l, ("可以这样问我："), ("You can ask me, for example:")));
        let examples: [&str; 7] = match l {
            Language::Chinese => [
                "订单服务为什么慢？",
                "哪些服务有问题？",
                "有哪些计划在等待批准？正在执行什么？",
                "最近 24 小时做了什么？哪些被撤回了？",
                "order-service 现在有几个副本？",
                "急停开关打开了吗？",
                "pln_… 为什么被拒绝？（计划、故事 sty_… 或发现 fnd_… 的编号）",
            ],
            Language::English => [
                "why is order-service slow?",
                "which services have problems?",
                "what is waiting for approval? what is in progress?",
                "what did the loop do today? what was undone?",
                "how many replicas has order-service?",
                "is the kill switch on?",
                "what about pln_…? (the id of a plan, a story sty_… or a finding fnd_…)",
            ],
        };
        for example in examples {
            self.line(format!("- {example}"));
        }
    }

    fn stranger(&mut self) {
        self.line(say!(
            self.language,
            (
                "我不知道是谁在问，或者不知道其密钥的权限范围，所以不回答任何与数据有关的问题。"
            ),
            (
                "I do not know who asks, or to what their key is narrowed, so I answer nothing about data."
            )
        ));
        self.about();
    }

    fn nothing_to_see(&mut self) {
        self.line(say!(
            self.language,
            ("这里没有您可以查看的服务、发现或计划，因此无从回答。"),
            ("There is no service, finding or plan here that you may see, so there is nothing to answer from.")
        ));
    }

    /// What was not understood, and what was left out.
    fn not_answered(&mut self, nothing: bool) {
        let l = self.language;
        if nothing && self.facts.is_some_and(|facts| !sees_nothing(facts)) {
            self.line(say!(l, ("我没有听懂这个问题。"), ("I did not understand this question.")));
            self.about();
        } else if !nothing {
            for unclear in std::mem::take(&mut self.question.unclear) {
                let unclear = quote(&unclear);
                self.line(say!(
                    l,
                    ("我没有听懂这一句：{unclear}"),
                    ("I did not understand this: {unclear}")
                ));
            }
        }
        let left_out = self.question.left_out;
        if left_out > 0 {
            self.line(say!(
                l,
                ("一次只回答前几句；其余 {left_out} 句没有回答，请分开问。"),
                ("I answer the first sentences of a message only; {left_out} more were left out: ask them separately.")
            ));
        }
    }

    /// Names that look like a service's and are none that the asker may see. Whether there is one
    /// is not said.
    fn strangers(&mut self, asked: &Asked, facts: &Facts) {
        if asked.strangers.is_empty() {
            return;
        }
        let l = self.language;
        let names = join(asked.strangers.iter().take(SERVICES_MAX), l);
        self.line(say!(
            l,
            ("您可以查看的服务中没有 {names}。"),
            ("There is no {names} among the services you may see.")
        ));
        if asked.services.is_empty() {
            self.services(facts);
        }
    }

    /// Says the same of each service that is named, as many as one sentence may name.
    fn each(
        &mut self,
        services: &[ServiceName],
        facts: &Facts,
        tell: fn(&mut Self, &Service, &Facts),
    ) {
        let known = services.iter().filter_map(|name| facts.service(name));
        for service in known.take(SERVICES_MAX) {
            tell(self, service, facts);
        }
        self.more(services.len().saturating_sub(SERVICES_MAX));
    }

    /// How many items of a list are not shown.
    pub(super) fn more(&mut self, count: usize) {
        if count > 0 {
            self.line(say!(self.language, ("- 另外还有 {count} 个"), ("- and {count} more")));
        }
    }

    fn services(&mut self, facts: &Facts) {
        let l = self.language;
        let count = facts.services.len();
        let names = facts.services.iter().map(|service| &service.name);
        let shown = join(names.take(SHOWN_MAX * 4), l);
        self.line(say!(
            l,
            ("您可以查看的服务：{count} 个（{shown}）"),
            ("Services you may see: {count} ({shown})")
        ));
        self.more(count.saturating_sub(SHOWN_MAX * 4));
    }

    fn kill_switch(&mut self, facts: &Facts) {
        if !self.stopped(facts) {
            let text = match &facts.kill_switch {
                Some(_) => say!(self.language, ("急停开关没有打开。"), ("The kill switch is off.")),
                None => say!(
                    self.language,
                    ("您没有查看急停开关的权限（guard:view）。"),
                    ("You may not see the kill switch (guard:view).")
                ),
            };
            self.line(text);
        }
    }

    /// Says so when the kill switch is on.
    pub(super) fn stopped(&mut self, facts: &Facts) -> bool {
        let Some(switch) = facts.kill_switch.as_ref().filter(|switch| switch.on) else {
            return false;
        };
        let l = self.language;
        let scope = match &switch.scope {
            KillScope::All => say!(l, ("全部操作"), ("everything")),
            KillScope::Groups(groups) => {
                let groups = join(groups.iter().take(SHOWN_MAX), l);
                say!(l, ("分组 {groups} 的操作"), ("what is done in {groups}"))
            }
        };
        let since = switch.at.map(|at| at.to_string()).unwrap_or_default();
        let reason = quote(&switch.reason);
        self.line(say!(
            l,
            ("急停开关已打开，停止{scope}；自 {since}，原因：{reason}"),
            ("The kill switch is on and stops {scope}, since {since}: {reason}")
        ));
        true
    }
}

impl Facts {
    pub(super) fn service(&self, name: &ServiceName) -> Option<&Service> {
        self.services.iter().find(|service| service.name == *name)
    }
}

fn sees_nothing(facts: &Facts) -> bool {
    let found = facts.found.as_ref();
    facts.services.is_empty()
        && facts.plans.is_empty()
        && facts.kill_switch.is_none()
        && found.is_none_or(|found| found.stories.is_empty() && found.findings.is_empty())
}
