use oag_serve::{Delta, ToolCallDelta};

use super::outlet::{Outlet, Step};
use super::scan::Scan;
use super::tools::Style;

/// What is given out token by token, and whether a stop text ended it.
fn said(scan: Scan, tokens: &[&[u8]]) -> (Vec<Delta>, bool) {
    let mut outlet = Outlet::new(scan);
    let mut given = Vec::new();
    for (number, text) in (0..).zip(tokens) {
        let step = outlet.push(number, text, None);
        if step == Step::Stop {
            given.push(outlet.finish());
            return (given, true);
        }
        given.push(outlet.take());
    }
    given.push(outlet.finish());
    (given, false)
}

fn texts(given: &[Delta]) -> Vec<&str> {
    given.iter().map(|delta| &*delta.text).collect()
}

fn names() -> Vec<String> {
    vec!["weather".to_owned(), "stock".to_owned()]
}

#[test]
fn tokens_are_told_with_their_text_and_not_before() {
    let scan = Scan::new(&["STOP".to_owned()]);
    let tokens: [&[u8]; 6] = [b"a", b"b S", b"T", b"ILL", b" c ST", b"OP d"];
    let (given, stopped) = said(scan, &tokens);
    assert!(stopped);
    assert_eq!(texts(&given), ["a", "", "", "b STILL", "", " c "]);
    let tokens: Vec<&[u32]> = given.iter().map(|delta| &*delta.tokens).collect();
    assert_eq!(tokens, [&[0][..], &[], &[], &[1, 2, 3], &[], &[]]);
}

#[test]
fn a_stop_text_that_never_comes_holds_nothing_back_at_the_end() {
    let (given, stopped) = said(Scan::new(&["STOP".to_owned()]), &[b"a ST", b"O"]);
    assert!(!stopped);
    assert_eq!(texts(&given), ["", "", "a STO"]);
    assert_eq!(given[2].tokens, [0, 1]);
}

#[test]
fn characters_come_whole_and_what_is_none_is_replaced() {
    let letter = "漢".as_bytes();
    let tokens: [&[u8]; 5] = [&letter[..1], &letter[1..], &[0xff], &letter[..2], b"x"];
    let (given, _) = said(Scan::new(&[]), &tokens);
    assert_eq!(texts(&given), ["", "漢", "\u{fffd}", "", "\u{fffd}x", ""]);
    let cut: [&[u8]; 1] = [&letter[..2]];
    let (given, _) = said(Scan::new(&[]), &cut);
    assert_eq!(texts(&given), ["", "\u{fffd}"]);
}

#[test]
fn going_on_after_any_part_says_the_rest() {
    let scan = || Scan::new(&["END".to_owned()]).with_thoughts(false);
    let tokens: [&[u8]; 9] =
        [b"<th", b"ink>", b"\n", b"hm", b" E</thi", b"nk>", b"\n\nso ", "漢E".as_bytes(), b"N."];
    let (all, _) = said(scan(), &tokens);
    let whole: String = all.iter().map(|delta| &*delta.text).collect();
    assert_eq!(whole, "so 漢EN.");
    let thought: String = all.iter().map(|delta| &*delta.reasoning).collect();
    assert_eq!(thought, "hm E");
    let mut before = Delta::default();
    for delta in &all {
        before.text.push_str(&delta.text);
        before.reasoning.push_str(&delta.reasoning);
        before.tokens.extend(&delta.tokens);
        let mut outlet = Outlet::new(scan());
        for token in &before.tokens {
            outlet.push(*token, tokens[*token as usize], None);
        }
        let replayed = outlet.take();
        assert_eq!(replayed.tokens, before.tokens);
        assert_eq!(
            (replayed.text, replayed.reasoning),
            (before.text.clone(), before.reasoning.clone())
        );
        let (mut text, mut reasoning) = (before.text.clone(), before.reasoning.clone());
        for (number, token) in (0..).zip(&tokens).skip(before.tokens.len()) {
            outlet.push(number, token, None);
            let more = outlet.take();
            text.push_str(&more.text);
            reasoning.push_str(&more.reasoning);
        }
        let last = outlet.finish();
        assert_eq!(
            (text + &last.text, reasoning + &last.reasoning),
            (whole.clone(), thought.clone())
        );
    }
}

/// A style, the tokens of an answer, and the calls in it.
type Written<'a> = (Style, &'a [&'a [u8]], &'a [(&'a str, &'a str)]);

#[test]
fn calls_are_read_as_each_family_writes_them() {
    let cases: [Written<'_>; 5] = [
        (
            Style::Tagged,
            &[b"<tool_", b"call>\n{\"name\": \"weather\", \"argum", b"ents\": {\"at\": \"Bonn\"}}", b"\n</tool_call>"],
            &[("weather", r#"{"at":"Bonn"}"#)],
        ),
        (
            Style::Tagged,
            &[b"<tool_call>stock\n<arg_key>item</arg_key>\n<arg_value>tea</arg_value>\n<arg_key>most", b"</arg_key><arg_value>3</arg_value></tool_call><tool_call>weather</tool_call>"],
            &[("stock", r#"{"item":"tea","most":3}"#), ("weather", "{}")],
        ),
        (Style::Lines, &[b"wea", b"ther", b"\n{\"at\":", b" \"Bonn\"}"], &[("weather", r#"{"at":"Bonn"}"#)]),
        (
            Style::Json,
            &[b"{\"name\": \"stock\", ", b"\"parameters\": {\"item\": 1}}; {\"name\": \"weather\"}"],
            &[("stock", r#"{"item":1}"#), ("weather", "{}")],
        ),
        (Style::Json, &[b"{\"name\": \"nobody\"}"], &[]),
    ];
    for (style, tokens, wanted) in cases {
        let (given, _) = said(Scan::new(&[]).with_tools(style, names(), 7), tokens);
        let calls: Vec<&ToolCallDelta> = given.iter().flat_map(|delta| &delta.tool_calls).collect();
        let found: Vec<(&str, &str)> =
            calls.iter().map(|call| (call.name.as_deref().unwrap(), &*call.arguments)).collect();
        assert_eq!(found, wanted, "{style:?}");
        for (number, call) in calls.iter().enumerate() {
            assert_eq!((call.index, call.id.is_some()), (number, true));
        }
        let text: String = given.iter().map(|delta| &*delta.text).collect();
        let plain: String = tokens.iter().map(|token| String::from_utf8_lossy(token)).collect();
        assert_eq!(text, if wanted.is_empty() { plain } else { String::new() }, "{style:?}");
    }
}

#[test]
fn what_only_looks_like_a_call_is_text() {
    for (style, tokens) in [
        (Style::Lines, &[b"wea".as_slice(), b"lth grows"][..]),
        (Style::Lines, &[b"weather\n", b"is fine"]),
        (Style::Tagged, &[b"<tool_call>", b"{broken</tool_call>", b" so"]),
        (Style::Tagged, &[b"a <tool", b"box>"]),
    ] {
        let (given, _) = said(Scan::new(&[]).with_tools(style, names(), 7), tokens);
        let text: String = given.iter().map(|delta| &*delta.text).collect();
        let plain: String = tokens.iter().map(|token| String::from_utf8_lossy(token)).collect();
        assert_eq!(text, plain);
    }
}
