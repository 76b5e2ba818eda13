//! What is asked: a message in its sentences, each with what it is about.

use oag_types::{FindingId, PlanId, ServiceName, StoryId};

use super::wish::{self, Wish};
use crate::Language;
use crate::analyze::{Named, find_named, language_of, mentions, spelled};

/// Sentences of one message that are answered.
const SENTENCES_MAX: usize = 4;
/// Services that one sentence can be about.
pub(super) const SERVICES_MAX: usize = 5;

/// Parts of a sentence that are searched for services one by one; the rest is searched at once.
const PARTS_MAX: usize = 16;

/// A message, understood as far as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) language: Language,
    /// What is asked, in order, each once.
    pub(super) asked: Vec<Asked>,
    /// Sentences of which nothing was understood.
    pub(super) unclear: Vec<String>,
    /// Sentences after those that are answered.
    pub(super) left_out: usize,
}

/// One thing that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) topic: Topic,
    /// Services it is about, which the asker may see; empty: all.
    pub(super) services: Vec<ServiceName>,
    /// Names in the form of a service's that are none the asker may see.
    pub(super) strangers: Vec<ServiceName>,
}

/// What a sentence is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Topic {
    /// What answers here, and what it can be asked.
    About,
    /// How services are.
    Status,
    /// What is wrong anywhere.
    Problems,
    /// How many replicas there are, and are to be.
    Replicas,
    /// What waits for people.
    Waiting,
    /// What is queued or being carried out.
    Running,
    /// What did not go as planned.
    Setbacks,
    /// What was done lately.
    Done,
    /// Whether anything acts.
    KillSwitch,
    /// What is in the catalogue.
    Services,
    /// One plan.
    Plan(PlanId),
    /// One story.
    Story(StoryId),
    /// One finding.
    Finding(FindingId),
    /// Something is to be done.
    Do(Wish),
}

/// Words by topic; the first topic that has one in the sentence is meant.
const TOPICS: &[(Topic, &[&str])] = &[
    (Topic::KillSwitch, &["kill switch", "kill-switch", "killswitch", "emergency stop"]),
    (Topic::KillSwitch, &["急停", "紧急停止", "总开关", "紧急开关"]),
    (Topic::Waiting, &["waiting", "awaiting", "wait", "waits", "pending", "approval", "approvals"]),
    (
        Topic::Waiting,
        &[
            "approve",
            "approved",
            "approving",
            "审批",
            "批准",
            "待批",
            "待审",
            "等待",
            "待处理",
            "待确认",
        ],
    ),
    (
        Topic::Setbacks,
        &["cancelled", "undone", "undid", "undo", "rolled back", "reverted", "denied", "refused"],
    ),
    (Topic::Setbacks, &["plan failed", "plans failed", "failed plan", "failed plans"]),
    (
        Topic::Setbacks,
        &["取消", "撤销", "撤回", "回滚", "被拒", "拒绝", "计划失败", "失败的计划", "执行失败"],
    ),
    (
        Topic::Running,
        &[
            "in progress",
            "being carried out",
            "being executed",
            "currently running",
            "what are you doing",
        ],
    ),
    (Topic::Running, &["what is running", "running now", "plans running", "plans are running"]),
    (Topic::Running, &["正在执行", "执行中", "进行中", "正在做", "正在运行的计划", "在执行"]),
    (
        Topic::Done,
        &["scaled", "restarted", "deployed", "扩容了", "缩容了", "重启了", "被扩容", "被重启"],
    ),
    (Topic::Replicas, &["replica", "replicas", "instances", "scale", "scaling", "capacity"]),
    (Topic::Replicas, &["副本", "扩容", "缩容", "扩到", "缩到", "实例", "容量"]),
    (Topic::Status, &["why", "slow", "latency", "timeout", "timeouts", "error", "errors", "fail"]),
    (
        Topic::Status,
        &["为什么", "为何", "慢", "延迟", "超时", "报错", "错误", "怎么了", "卡", "请求失败"],
    ),
    (Topic::Done, &["what did", "did the loop", "done", "happened", "happen", "history", "today"]),
    (Topic::Done, &["yesterday", "recently", "lately", "changed", "last change", "last plan"]),
    (
        Topic::Done,
        &[
            "做了",
            "执行了",
            "执行过",
            "操作",
            "干了",
            "今天",
            "今日",
            "昨天",
            "最近",
            "发生",
            "历史",
            "变更",
        ],
    ),
    (Topic::Problems, &["problem", "problems", "wrong", "issue", "issues", "trouble", "alert"]),
    (Topic::Problems, &["alerts", "incident", "incidents", "finding", "findings", "broken"]),
    (
        Topic::Problems,
        &["unhealthy", "anomaly", "anomalies", "问题", "异常", "故障", "告警", "报警", "风险"],
    ),
    (
        Topic::Status,
        &[
            "how is", "how's", "how are", "how does", "how do", "overview", "status", "state",
            "load",
        ],
    ),
    (Topic::Status, &["healthy", "down", "up", "ok", "okay", "fine", "doing", "going"]),
    (
        Topic::Status,
        &[
            "怎么样",
            "总览",
            "概况",
            "还好",
            "怎样",
            "如何",
            "状态",
            "正常",
            "情况",
            "挂了",
            "负载",
            "健康",
        ],
    ),
    (
        Topic::Services,
        &[
            "services",
            "catalogue",
            "catalog",
            "哪些服务",
            "所有服务",
            "多少个服务",
            "几个服务",
            "服务列表",
            "什么服务",
            "目录",
        ],
    ),
    (Topic::About, &["who are you", "what are you", "what can", "what do you", "help", "hello"]),
    (
        Topic::About,
        &[
            "hi",
            "hey",
            "你是谁",
            "你是什么",
            "你能",
            "你会",
            "能问",
            "可以问",
            "帮助",
            "你好",
            "您好",
        ],
    ),
];

/// What is said to be polite and asks nothing.
const GREETINGS: [&str; 12] = [
    "hi",
    "hello",
    "hey",
    "thanks",
    "thank you",
    "please",
    "你好",
    "您好",
    "谢谢",
    "多谢",
    "请问",
    "嗨",
];

/// Reads a message. Only services of the catalogue are found in it.
pub(super) fn understand(message: &str, catalogue: &[ServiceName]) -> Question {
    let mut sentences = sentences(message);
    let all_greet = sentences.iter().all(|sentence| greets(&sentence.text));
    if !all_greet {
        sentences.retain(|sentence| !greets(&sentence.text));
    }
    let mut question = Question {
        language: language_of(Some(message)),
        asked: Vec::new(),
        unclear: Vec::new(),
        left_out: sentences.len().saturating_sub(SENTENCES_MAX),
    };
    for sentence in sentences.iter().take(SENTENCES_MAX) {
        match read(sentence, catalogue) {
            Some(asked) if question.asked.contains(&asked) => {}
            Some(asked) => question.asked.push(asked),
            None => question.unclear.push(sentence.text.clone()),
        }
    }
    question
}

/// A sentence, and whether it ends with a question mark.
pub(super) struct Sentence {
    pub(super) text: String,
    pub(super) asks: bool,
}

fn sentences(message: &str) -> Vec<Sentence> {
    let mut found = Vec::new();
    let mut text = String::new();
    let mut chars = message.chars().peekable();
    while let Some(c) = chars.next() {
        let ends = match c {
            '?' | '？' | '!' | '！' | '。' | ';' | '；' | '\n' => true,
            // Not inside of a version or a name.
            '.' => chars.peek().is_none_or(|next| next.is_whitespace()),
            _ => false,
        };
        if !ends {
            text.push(c);
        }
        if ends || chars.peek().is_none() {
            let sentence = text.trim().to_owned();
            if sentence.chars().any(char::is_alphanumeric) {
                found.push(Sentence { text: sentence, asks: matches!(c, '?' | '？') });
            }
            text.clear();
        }
    }
    found
}

fn greets(sentence: &str) -> bool {
    let bare = sentence.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    GREETINGS.contains(&bare.as_str())
}

fn read(sentence: &Sentence, catalogue: &[ServiceName]) -> Option<Asked> {
    let text = sentence.text.to_lowercase();
    let services = services(&text, catalogue);
    let strangers: Vec<_> = spelled(&text).filter(|name| !catalogue.contains(name)).collect();
    let topic = wish::read(&text, sentence.asks, &services)
        .map(Topic::Do)
        .or_else(|| record(&text))
        .or_else(|| topic(&text))
        .or_else(|| (!services.is_empty() || !strangers.is_empty()).then_some(Topic::Status))?;
    Some(Asked { topic, services, strangers })
}

fn topic(text: &str) -> Option<Topic> {
    let said = |(_, words): &&(Topic, &[&str])| words.iter().any(|word| mentions(text, word));
    TOPICS.iter().find(said).map(|(topic, _)| topic.clone())
}

/// A record that is named by its id.
fn record(text: &str) -> Option<Topic> {
    words(text).find_map(|word| {
        let plan = word.parse().ok().map(Topic::Plan);
        let story = || word.parse().ok().map(Topic::Story);
        plan.or_else(story).or_else(|| word.parse().ok().map(Topic::Finding))
    })
}

/// Words of ASCII letters, digits, `-` and `_`.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        .filter(|word| !word.is_empty())
}

/// The services a sentence names, part by part, so that `order and payment` are two.
fn services(text: &str, catalogue: &[ServiceName]) -> Vec<ServiceName> {
    // Without a catalogue every known name would be found.
    if catalogue.is_empty() {
        return Vec::new();
    }
    let text = text.replace(" and ", ",").replace("以及", ",");
    let parts = text.splitn(PARTS_MAX, [',', '，', '、', '和', '与', '&']);
    let mut found: Vec<ServiceName> = Vec::new();
    for part in parts {
        let named = match find_named(part, catalogue) {
            Named::One(name) => vec![name],
            Named::Several(names) => names,
            Named::None => Vec::new(),
        };
        for name in named {
            if !found.contains(&name) {
                found.push(name);
            }
        }
    }
    found
}
