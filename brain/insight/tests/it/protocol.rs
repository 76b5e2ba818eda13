//! The line protocol, as its caller sees it.

use oag_insight::{ProtocolError, Session, Task};
use serde_json::Value;

fn answer(session: &mut Session, line: &str) -> Value {
    let line = session.line(line).unwrap().unwrap();
    assert!(!line.contains('\n'));
    serde_json::from_str(&line).unwrap()
}

fn error(session: &mut Session, line: &str) -> String {
    session.line(line).unwrap_err().to_string()
}

#[test]
fn univariate_answers_every_point() {
    let mut session = Session::new(Task::Univariate);
    let start = r#"{"type":"start","id":"s1","step_s":300}"#;
    assert_eq!(session.line(start).unwrap(), None);
    for i in 0..150 {
        let value = if i % 9 == 0 { "null".to_owned() } else { format!("{}.5", i % 5) };
        let line = format!(r#"{{"type":"point","ts":{},"value":{value}}}"#, i * 300);
        let a = answer(&mut session, &line);
        assert!(a["score"].is_f64() && a["alert"].is_boolean(), "{a}");
        assert!(i < 120 || a["lo"].is_f64(), "{a}");
    }
}

#[test]
fn load_answers_only_when_wanted() {
    let mut session = Session::new(Task::Load);
    let start = r#"{"type":"start","id":"l","step_s":60,"season":1440,"horizon":10}"#;
    assert_eq!(session.line(start).unwrap(), None);
    let history = r#"{"type":"history","ts":[0,60,120],"value":[10,null,12]}"#;
    assert_eq!(session.line(history).unwrap(), None);
    let quiet = r#"{"type":"point","ts":180,"value":11,"want":false}"#;
    assert_eq!(session.line(quiet).unwrap(), None);
    let a = answer(&mut session, r#"{"type":"point","ts":240,"value":null,"want":true}"#);
    for part in ["mean", "lo", "hi", "plan"] {
        let values = a[part].as_array().unwrap();
        assert_eq!(values.len(), 10, "{a}");
        assert!(values.iter().all(Value::is_f64), "{a}");
    }
}

#[test]
fn load_without_any_value_still_answers() {
    let mut session = Session::new(Task::Load);
    session.line(r#"{"type":"start","id":"l","step_s":60,"horizon":4}"#).unwrap();
    let a = answer(&mut session, r#"{"type":"point","ts":0,"value":null,"want":true}"#);
    assert_eq!(a["mean"].as_array().unwrap().len(), 4);
}

#[test]
fn a_second_start_begins_anew() {
    let mut session = Session::new(Task::Univariate);
    let start = r#"{"type":"start","id":"a","step_s":60}"#;
    let point = |i: u32| format!(r#"{{"type":"point","ts":{},"value":{}}}"#, i * 60, i % 3);
    let mut run = || -> Vec<Value> {
        session.line(start).unwrap();
        (0..200).map(|i| answer(&mut session, &point(i))).collect()
    };
    assert_eq!(run(), run());
}

#[test]
fn blank_lines_are_skipped() {
    assert_eq!(Session::new(Task::Load).line("  \r\n").unwrap(), None);
}

#[test]
fn errors_name_the_problem_and_leave_the_session_usable() {
    let mut session = Session::new(Task::Load);
    assert!(error(&mut session, r#"{"type":"point","ts":0,"value":1}"#).contains("before `start`"));
    assert!(error(&mut session, "not json").contains("not a message"));
    assert!(error(&mut session, r#"{"type":"launch"}"#).contains("launch"));
    assert!(error(&mut session, r#"{"type":"start","id":"x"}"#).contains("step_s"));
    assert!(error(&mut session, r#"{"type":"start","id":"x","step_s":-1}"#).contains("step_s"));
    let no_horizon = r#"{"type":"start","id":"x","step_s":60,"horizon":0}"#;
    assert!(error(&mut session, no_horizon).contains("horizon"));
    session.line(r#"{"type":"start","id":"x","step_s":60,"season":96,"horizon":2}"#).unwrap();
    let uneven = r#"{"type":"history","ts":[0,60],"value":[1]}"#;
    assert!(error(&mut session, uneven).contains("1 values for 2 times"));
    let wordy = r#"{"type":"point","ts":0,"value":"many","want":true}"#;
    assert!(matches!(session.line(wordy), Err(ProtocolError::Malformed(_))));
    answer(&mut session, r#"{"type":"point","ts":0,"value":3,"want":true}"#);
}

#[test]
fn history_is_for_the_load_task_only() {
    let mut session = Session::new(Task::Univariate);
    session.line(r#"{"type":"start","id":"x","step_s":60}"#).unwrap();
    assert!(error(&mut session, r#"{"type":"history","ts":[],"value":[]}"#).contains("load"));
}
