//! The engine that answers by rules: who is answered what, and what is refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use oag_ops::{Asker, Facts, RULES_MODEL, Records, RulesEngine};
use oag_pilot::Observed;
use oag_serve::{
    Collected, Context, Engine, EngineError, Engines, Finish, Format, Generation, Input, Message,
    Role, Thinking, Tool, ToolChoice,
};
use oag_types::{Code, Permission, PrincipalId, Problem, ServiceName, Tenant};
use serde_json::json;

use crate::records::*;
use crate::support::*;

#[derive(Default)]
struct Shelf {
    away: bool,
    never: bool,
}

fn known() -> PrincipalId {
    id("usr", 1)
}

#[async_trait]
impl Records for Shelf {
    async fn facts(&self, asker: &Asker) -> Result<Option<Facts>, Problem> {
        if self.away {
            return Err(Problem::new(Code::STORE_UNAVAILABLE, "the store does not answer"));
        }
        if self.never {
            std::future::pending::<()>().await;
        }
        let all = asker.user == known() && asker.tenant == Tenant::default_tenant();
        let facts = if asker.scopes.is_empty() { facts() } else { nothing() };
        Ok(all.then_some(Facts { states: BTreeMap::new(), ..facts }))
    }

    async fn state(&self, _: &Asker, service: &ServiceName) -> Option<Observed> {
        if service.as_str() == "payment-service" {
            std::future::pending::<()>().await;
        }
        Some(observed(4, 2))
    }
}

fn engine() -> RulesEngine {
    RulesEngine::new(Arc::new(Shelf::default()))
}

fn context() -> Context {
    let mut context = Context::new(Tenant::default_tenant(), "r".to_owned());
    context.user = Some(known().to_string());
    context.scopes = Some(Vec::new());
    context
}

fn ask(question: &str) -> Generation {
    Generation::new(RULES_MODEL, Input::question(question), context())
}

async fn collect(engine: &RulesEngine, request: Generation) -> (Collected, usize) {
    let mut events = engine.generate(request).await.unwrap();
    let (mut all, mut parts) = (Collected::default(), 0);
    while let Some(event) = events.next().await {
        all.take(event.unwrap());
        parts += 1;
    }
    (all, parts)
}

async fn told(request: Generation) -> String {
    collect(&engine(), request).await.0.text
}

async fn refused(request: Generation) -> String {
    engine().generate(request).await.err().unwrap().to_string()
}

#[tokio::test]
async fn an_answer_comes_line_by_line_and_ends() {
    let engine = engine();
    let (all, parts) = collect(&engine, ask("why is order-service slow?")).await;
    assert!(all.text.contains("2 ready") && all.text.contains("840 ms"), "{}", all.text);
    assert_eq!(parts, all.text.lines().count() + 1);
    let ending = all.ending.unwrap();
    assert_eq!((ending.finish, ending.usage), (Finish::Stop, None));
    assert_eq!((engine.stats().answers, engine.stats().busy), (1, 0));
    assert!(all.reasoning.is_empty() && all.tool_calls.is_empty());
}

#[tokio::test]
async fn it_stands_in_a_table_under_its_name() {
    let engines = Engines::new();
    engines.put(Arc::new(engine()));
    assert_eq!(engines.of(RULES_MODEL).unwrap().engine.name(), "rules");
    assert_eq!(engines.models().len(), 1);
}

#[tokio::test]
async fn only_who_is_known_in_full_is_told_about_data() {
    let mut nobody = ask("which services have problems?");
    nobody.context.user = None;
    let mut odd = ask("which services have problems?");
    odd.context.user = Some("admin".to_owned());
    let mut stranger = ask("which services have problems?");
    stranger.context.user = Some(id::<PrincipalId>("usr", 2).to_string());
    let mut unbound = ask("which services have problems?");
    unbound.context.scopes = None;
    let mut elsewhere = ask("which services have problems?");
    elsewhere.context.tenant = "other".parse().unwrap();
    let mut narrowed = ask("which services have problems?");
    narrowed.context.scopes = Some(vec![Permission::new("model:use")]);
    for request in [nobody, odd, stranger, unbound, elsewhere, narrowed] {
        let who = format!("{:?}", request.context);
        let said = told(request).await;
        assert!(said.contains("autoglm-rules") && !said.contains("stock-service"), "{who}: {said}");
        assert!(!said.contains("fnd_0"), "{who}: {said}");
    }
    let said = told(ask("which services have problems?")).await;
    assert!(said.contains("stock-service"), "{said}");
}

#[tokio::test]
async fn the_last_message_of_the_user_counts() {
    let turn = Message::new;
    let messages = vec![
        turn(Role::System, "scale order-service to 6"),
        turn(Role::User, "which services have problems?"),
        turn(Role::Assistant, "none"),
        turn(Role::User, "is the kill switch on?"),
        turn(Role::Assistant, "It"),
    ];
    let input = Input::Chat { messages, tools: Vec::new(), tool_choice: ToolChoice::Auto };
    let said = told(Generation::new(RULES_MODEL, input, context())).await;
    assert_eq!(said, "The kill switch is off.\n");
    let input = Input::Text("急停开关打开了吗？".to_owned());
    let said = told(Generation::new(RULES_MODEL, input, context())).await;
    assert_eq!(said, "急停开关没有打开。\n");
}

#[tokio::test]
async fn limits_are_kept() {
    let mut few = ask("is the kill switch on?");
    few.limits.tokens_max = Some(3);
    let (all, _) = collect(&engine(), few).await;
    assert_eq!((&*all.text, all.ending.unwrap().finish), ("The kill swi", Finish::Length));
    let mut stopped = ask("is the kill switch on?");
    stopped.limits.stop = vec!["off".to_owned(), "switch".to_owned()];
    let (all, _) = collect(&engine(), stopped).await;
    assert_eq!((&*all.text, all.ending.unwrap().finish), ("The kill ", Finish::Stop));
}

/// Makes a request one that is refused.
type Change = fn(&mut Generation);

#[tokio::test]
async fn what_would_be_ignored_is_refused() {
    let cases: [(&str, Change); 10] = [
        ("format", |r| r.format = Format::Json),
        ("format", |r| r.format = Format::Schema { name: "s".to_owned(), schema: json!({}) }),
        ("logprobs", |r| r.logprobs = Some(1)),
        ("thinking", |r| r.thinking = Thinking::On),
        ("resume", |r| r.resume = vec![1]),
        ("tokens_max", |r| r.limits.tokens_max = Some(0)),
        ("stop", |r| r.limits.stop = vec![String::new()]),
        ("prompt", |r| r.input = Input::Text(" \n".to_owned())),
        ("messages", |r| r.input = Input::question("x".repeat(4_001))),
        ("messages", |r| {
            let messages = vec![Message::new(Role::System, "hello")];
            r.input = Input::Chat { messages, tools: Vec::new(), tool_choice: ToolChoice::Auto };
        }),
    ];
    for (field, change) in cases {
        let mut request = ask("is the kill switch on?");
        change(&mut request);
        let why = refused(request).await;
        assert!(why.starts_with(&format!("{field}: ")), "{field}: {why}");
    }
    let tool = Tool { name: "t".to_owned(), description: None, parameters: json!({}) };
    for (field, tools, tool_choice) in
        [("tools", vec![tool], ToolChoice::Auto), ("tool_choice", Vec::new(), ToolChoice::Required)]
    {
        let messages = vec![Message::new(Role::User, "is the kill switch on?")];
        let input = Input::Chat { messages, tools, tool_choice };
        let why = refused(Generation::new(RULES_MODEL, input, context())).await;
        assert!(why.starts_with(&format!("{field}: ")), "{field}: {why}");
    }
    let other = Generation::new("llama", Input::question("hi"), context());
    assert!(refused(other).await.contains("llama"));
}

#[tokio::test(start_paused = true)]
async fn records_that_are_away_or_slow_are_told_as_that() {
    let away = RulesEngine::new(Arc::new(Shelf { away: true, ..Shelf::default() }));
    let error = away.generate(ask("is anything wrong?")).await.err().unwrap();
    assert!(matches!(error, EngineError::Unavailable(_)), "{error}");
    let slow = || RulesEngine::new(Arc::new(Shelf { never: true, ..Shelf::default() }));
    let error = slow().generate(ask("is anything wrong?")).await.err().unwrap();
    assert!(matches!(error, EngineError::Unavailable(_)), "{error}");
    let mut hurried = ask("is anything wrong?");
    hurried.context.within = Some(Duration::from_millis(50));
    let error = slow().generate(hurried).await.err().unwrap();
    assert_eq!(error, EngineError::Late);
    // One executor that hangs takes nothing from the answer but its state.
    let said = told(ask("how are payment-service and order-service?")).await;
    assert!(said.contains("payment-service: its executor reports no present state"), "{said}");
    assert!(said.contains("2 ready"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn more_than_can_be_made_at_once_are_told_to_come_again() {
    let engine = Arc::new(RulesEngine::new(Arc::new(Shelf { never: true, ..Shelf::default() })));
    let ask_all = (0..9).map(|_| engine.generate(ask("is anything wrong?")));
    let answers = futures::future::join_all(ask_all).await;
    let overloaded = answers
        .iter()
        .filter(|answer| matches!(answer, Err(EngineError::Overloaded { .. })))
        .count();
    assert_eq!(overloaded, 1);
    assert_eq!(engine.stats().busy, 0);
}
