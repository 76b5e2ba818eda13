//! Sentences that ask for something to be done, and the command that would do it. Nothing here
//! does it.

use oag_types::{PlanId, ServiceName};

use super::question::words;
use crate::analyze::mentions;

/// Something that is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) verb: Verb,
    /// The replicas that are wanted, or more or fewer than now.
    pub(super) number: Option<Number>,
    /// The plan it is about.
    pub(super) plan: Option<PlanId>,
}

/// A number in a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// So many.
    To(u32),
    /// A difference or a multiple, of what is there now.
    Relative,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Scale,
    Restart,
    Start,
    Stop,
    Rollback,
    Deploy,
    Configure,
    Shed,
    Restore,
    Trip,
    Reset,
    Kill(bool),
    Approve,
    Apply,
    Cancel,
    /// Something no single command is known for here.
    Other,
}

/// What an English clause begins with when it asks for something.
const ENGLISH: &[(&str, Verb)] = &[
    ("scale", Verb::Scale),
    ("resize", Verb::Scale),
    ("increase", Verb::Scale),
    ("decrease", Verb::Scale),
    ("reduce", Verb::Scale),
    ("raise", Verb::Scale),
    ("add", Verb::Scale),
    ("restart", Verb::Restart),
    ("reboot", Verb::Restart),
    ("start", Verb::Start),
    ("stop", Verb::Stop),
    ("shut down", Verb::Stop),
    ("roll back", Verb::Rollback),
    ("rollback", Verb::Rollback),
    ("revert", Verb::Rollback),
    ("deploy", Verb::Deploy),
    ("release", Verb::Deploy),
    ("configure", Verb::Configure),
    ("shed", Verb::Shed),
    ("restore", Verb::Restore),
    ("trip", Verb::Trip),
    ("reset", Verb::Reset),
    ("approve", Verb::Approve),
    ("apply", Verb::Apply),
    ("execute", Verb::Apply),
    ("run", Verb::Apply),
    ("cancel", Verb::Cancel),
    ("set", Verb::Other),
    ("change", Verb::Other),
    ("fix", Verb::Other),
    ("delete", Verb::Other),
    ("remove", Verb::Other),
    ("turn", Verb::Other),
    ("switch", Verb::Other),
    ("kill", Verb::Other),
];

/// What may come before it; `how do I` is answered with the command, too.
const POLITE: &[&str] = &[
    "please",
    "now",
    "then",
    "and",
    "so",
    "just",
    "ok",
    "okay",
    "can you",
    "could you",
    "would you",
    "will you",
    "go ahead and",
    "i want you to",
    "i want to",
    "i need you to",
    "we want to",
    "we need to",
    "you should",
    "let us",
    "let's",
    "help me",
    "help me to",
    "how do i",
    "how can i",
    "how do we",
    "how can we",
    "how to",
];

const CHINESE: &[(&str, Verb)] = &[
    ("扩容", Verb::Scale),
    ("缩容", Verb::Scale),
    ("扩到", Verb::Scale),
    ("缩到", Verb::Scale),
    ("重启", Verb::Restart),
    ("启动", Verb::Start),
    ("停止", Verb::Stop),
    ("停掉", Verb::Stop),
    ("关停", Verb::Stop),
    ("回滚", Verb::Rollback),
    ("部署", Verb::Deploy),
    ("发布", Verb::Deploy),
    ("降级", Verb::Shed),
    ("恢复", Verb::Restore),
    ("熔断", Verb::Trip),
    ("批准", Verb::Approve),
    ("同意", Verb::Approve),
    ("执行", Verb::Apply),
    ("取消", Verb::Cancel),
    ("修改", Verb::Other),
    ("修复", Verb::Other),
    ("删除", Verb::Other),
    ("删掉", Verb::Other),
];

/// Words with which a Chinese sentence asks for an answer, or tells of something.
const ASKING: &[&str] = &[
    "几",
    "多少",
    "什么",
    "为何",
    "哪",
    "谁",
    "是否",
    "有没有",
    "是不是",
    "怎么样",
    "原因",
    "记录",
    "历史",
    "情况",
    "列表",
    "状态",
    "了",
    "过",
    "已",
    "被",
    "正在",
    "待",
    "等",
    "失败",
    "不要",
    "别",
    "勿",
    "异常",
];

const ASKED_POLITELY: &[&str] =
    &["请", "帮我", "帮忙", "能不能", "能否", "可以把", "可以帮", "麻烦", "我想", "我要", "我们要"];

const KILL: &[&str] = &["kill switch", "kill-switch", "killswitch", "急停", "紧急停止", "总开关"];
const KILL_ON: &[&str] =
    &["on", "engage", "enable", "activate", "press", "打开", "开启", "按下", "启用"];
const KILL_OFF: &[&str] = &["off", "release", "disable", "deactivate", "关闭", "关掉", "解除"];

const RELATIVE: &[&str] = &[
    "by", "more", "fewer", "less", "double", "twice", "half", "增加", "减少", "再", "翻倍", "一倍",
    "加",
];

/// Reads a sentence, in lower case; none when it asks for nothing to be done.
pub(super) fn read(text: &str, asks: bool, services: &[ServiceName]) -> Option<Wish> {
    let verb = kill(text, asks).or_else(|| english(text)).or_else(|| chinese(text, asks))?;
    let plan = words(text).find_map(|word| word.parse().ok());
    // Plans are what is approved, applied and cancelled; `run` alone may be anything.
    let verb = match verb {
        Verb::Apply if plan.is_none() => Verb::Other,
        Verb::Other if mentions(text, "replicas") || text.contains("副本") => Verb::Scale,
        verb => verb,
    };
    let number = if verb == Verb::Scale { number(text, services) } else { None };
    Some(Wish { verb, number, plan })
}

fn any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| mentions(text, word))
}

fn kill(text: &str, asks: bool) -> Option<Verb> {
    if !any(text, KILL) {
        return None;
    }
    let wished = english(text).is_some()
        || english_clauses(text).any(|clause| {
            begins(
                clause,
                &[
                    "engage",
                    "enable",
                    "disable",
                    "activate",
                    "deactivate",
                    "press",
                    "kill switch",
                    "kill-switch",
                ],
            )
        })
        || (!text.is_ascii() && !asks && !any(text, ASKING) && !text.contains('吗'));
    let on = any(text, KILL_ON);
    let off = any(text, KILL_OFF);
    (wished && on != off).then_some(Verb::Kill(on))
}

fn english_clauses(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', '，', ':']).flat_map(|part| part.split(" and ")).map(without_politeness)
}

fn english(text: &str) -> Option<Verb> {
    english_clauses(text).find_map(|clause| {
        ENGLISH.iter().find(|(begin, _)| begins(clause, &[begin])).map(|(_, verb)| *verb)
    })
}

fn begins(clause: &str, with: &[&str]) -> bool {
    with.iter().any(|begin| {
        let rest = clause.strip_prefix(begin);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
    })
}

fn without_politeness(clause: &str) -> &str {
    let mut clause = clause.trim();
    while let Some(polite) =
        POLITE.iter().filter(|polite| begins(clause, &[polite])).max_by_key(|p| p.len())
    {
        clause = clause.get(polite.len()..).unwrap_or_default().trim_start();
    }
    clause
}

fn chinese(text: &str, asks: bool) -> Option<Verb> {
    let (at, word, verb) = CHINESE
        .iter()
        .filter_map(|(word, verb)| text.find(word).map(|at| (at, *word, *verb)))
        .min_by_key(|(at, ..)| *at)?;
    let before = text.get(..at).unwrap_or_default();
    let how = ["怎么", "如何", "怎样"].iter().any(|how| {
        text.contains(&format!("{how}{word}"))
            || ["把", "将", "给"].iter().any(|to| text.contains(&format!("{how}{to}")))
    });
    let asking = any(text, ASKING) || text.contains("请问");
    let polite = any(text, ASKED_POLITELY);
    let told =
        before.ends_with('的') || (asks || text.ends_with('吗') || text.ends_with('呢')) && !polite;
    (how || (!asking && !told)).then_some(verb)
}

/// The number of replicas in a sentence, services and ids left out.
fn number(text: &str, services: &[ServiceName]) -> Option<Number> {
    let mut text = text.to_owned();
    for service in services {
        text = text.replace(service.as_str(), " ");
    }
    let absolute = mentions(&text, "to") || ["到", "成", "为"].iter().any(|to| text.contains(to));
    if !absolute && any(&text, RELATIVE) {
        return Some(Number::Relative);
    }
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '%');
    let mut numbers =
        text.split(|c: char| !part(c)).filter_map(|word| word.trim_end_matches('.').parse().ok());
    numbers.next().or_else(|| chinese_number(&text)).map(Number::To)
}

/// A number up to 99 in Chinese before a word that counts.
fn chinese_number(text: &str) -> Option<u32> {
    let digit = |c: char| "零一二三四五六七八九".chars().position(|d| d == c);
    let digit = |c: char| if c == '两' { Some(2) } else { digit(c) };
    let end = ["个", "副本", "台", "份"].iter().filter_map(|count| text.find(count)).min()?;
    let mut read: Vec<char> =
        text.get(..end)?.chars().rev().take_while(|c| digit(*c).is_some() || *c == '十').collect();
    read.reverse();
    let value = match read.as_slice() {
        [one] if *one != '十' => digit(*one)?,
        ['十'] => 10,
        ['十', one] => 10 + digit(*one)?,
        [tens, '十'] => digit(*tens)? * 10,
        [tens, '十', one] => digit(*tens)? * 10 + digit(*one)?,
        _ => return None,
    };
    u32::try_from(value).ok()
}
