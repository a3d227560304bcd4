//! Reading one KDL node: its arguments and properties, each taken once, what is left over reported.

use crate::parse_span;
use crate::problem::{Problem, suggest};
use kdl::{KdlEntry, KdlNode, KdlValue};
use miette::SourceSpan;
use std::time::Duration;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    pub value: T,
    pub span: SourceSpan,
}

/// The span of the node's name: what a mistake about the node as a whole points at.
pub fn name_span(node: &KdlNode) -> SourceSpan {
    node.name().span()
}

pub fn complain(problems: &mut Vec<Problem>, span: SourceSpan, message: impl Into<String>, help: impl Into<String>) {
    problems.push(Problem { span, message: message.into(), help: help.into() });
}

fn kind_of(value: &KdlValue) -> &'static str {
    match value {
        KdlValue::String(_) => "a string",
        KdlValue::Integer(_) => "an integer",
        KdlValue::Float(_) => "a number",
        KdlValue::Bool(_) => "a boolean",
        KdlValue::Null => "null",
    }
}

fn text(entry: &KdlEntry, what: &str, problems: &mut Vec<Problem>) -> Option<Spanned<String>> {
    let Some(text) = entry.value().as_string() else {
        let (found, written) = (kind_of(entry.value()), entry.value());
        complain(
            problems,
            entry.span(),
            format!("{what} must be a string, not {found}"),
            format!("write it in quotes: \"{written}\""),
        );
        return None;
    };
    Some(Spanned { value: text.to_owned(), span: entry.span() })
}

/// The arguments of `node`, all strings, at least `least` and at most `most`.
pub fn arguments(
    node: &KdlNode,
    (least, most): (usize, usize),
    what: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Spanned<String>> {
    let entries: Vec<&KdlEntry> = node.entries().iter().filter(|entry| entry.name().is_none()).collect();
    let name = node.name().value();
    if entries.len() < least {
        complain(
            problems,
            name_span(node),
            format!("`{name}` needs {what}"),
            format!("for example: {}", example(name)),
        );
    }
    for extra in entries.iter().skip(most) {
        let message = format!("`{name}` takes {what} and nothing more");
        complain(problems, extra.span(), message, "remove this");
    }
    entries.iter().take(most).filter_map(|entry| text(entry, what, problems)).collect()
}

/// Refuses children where there are none.
pub fn no_children(node: &KdlNode, problems: &mut Vec<Problem>) {
    if node.children().is_some_and(|children| !children.nodes().is_empty()) {
        let name = node.name().value();
        complain(
            problems,
            name_span(node),
            format!("`{name}` has no children"),
            "remove the braces and what is in them",
        );
    }
}

/// The string property `key`.
pub fn property(node: &KdlNode, key: &str, problems: &mut Vec<Problem>) -> Option<Spanned<String>> {
    text(node.entry(key)?, &format!("`{key}`"), problems)
}

/// The property `key` as a span of time.
pub fn span_property(node: &KdlNode, key: &str, problems: &mut Vec<Problem>) -> Option<Spanned<Duration>> {
    let entry = node.entry(key)?;
    span_entry(entry, &format!("`{key}`"), problems)
}

/// The property `key` as an integer.
pub fn integer_property(node: &KdlNode, key: &str, problems: &mut Vec<Problem>) -> Option<Spanned<i128>> {
    let entry = node.entry(key)?;
    let value = entry.value().as_integer();
    if value.is_none() {
        let example = if key == "port" { 7400 } else { 1 };
        complain(
            problems,
            entry.span(),
            format!("`{key}` must be an integer"),
            format!("for example: {key}={example}"),
        );
    }
    value.map(|value| Spanned { value, span: entry.span() })
}

/// The only argument of `node` as an integer.
pub fn number_argument(node: &KdlNode, problems: &mut Vec<Problem>) -> Option<Spanned<i128>> {
    let name = node.name().value();
    no_children(node, problems);
    only_properties(node, &[], problems);
    let mut entries = node.entries().iter().filter(|entry| entry.name().is_none());
    let number =
        entries.next().and_then(|entry| Some(Spanned { value: entry.value().as_integer()?, span: entry.span() }));
    if number.is_none() || entries.next().is_some() {
        let help = format!("for example: {}", example(name));
        complain(problems, name_span(node), format!("`{name}` needs one integer"), help);
        return None;
    }
    number
}

/// The only argument of `node` as a span of time.
pub fn span_argument(node: &KdlNode, problems: &mut Vec<Problem>) -> Option<Spanned<Duration>> {
    let name = node.name().value();
    no_children(node, problems);
    only_properties(node, &[], problems);
    let Some(entry) = node.entries().iter().find(|entry| entry.name().is_none()) else {
        let help = format!("for example: {}", example(name));
        complain(problems, name_span(node), format!("`{name}` needs a span of time"), help);
        return None;
    };
    span_entry(entry, &format!("`{name}`"), problems)
}

fn span_entry(entry: &KdlEntry, what: &str, problems: &mut Vec<Problem>) -> Option<Spanned<Duration>> {
    let help = "a number and a unit in quotes: \"500ms\", \"2s\", \"1min\"";
    if let Some(number) = entry.value().as_integer() {
        let help = format!("say which unit: \"{number}s\" or \"{number}ms\"");
        complain(problems, entry.span(), format!("{what} is a span of time without a unit"), help);
        return None;
    }
    let span = entry.value().as_string().and_then(parse_span);
    if span.is_none() {
        complain(problems, entry.span(), format!("{what} is not a span of time"), help);
    }
    span.map(|value| Spanned { value, span: entry.span() })
}

/// Reports every property of `node` that is not in `known`, and every one given twice.
pub fn only_properties(node: &KdlNode, known: &[&str], problems: &mut Vec<Problem>) {
    let mut seen = Vec::new();
    for entry in node.entries() {
        let Some(name) = entry.name() else { continue };
        let key = name.value();
        if !known.contains(&key) {
            let message = format!("`{}` has no property `{key}`", node.name().value());
            let help = if known.is_empty() { "remove this".into() } else { suggest(key, known) };
            complain(problems, entry.span(), message, help);
        } else if seen.contains(&key) {
            complain(problems, entry.span(), format!("`{key}` is given twice"), "keep one of the two");
        }
        seen.push(key);
    }
}

fn example(node: &str) -> &'static str {
    match node {
        "cluster" => "cluster \"demo\"",
        "node" => "node \"alpha\" key=\"...\" { link \"192.0.2.1\"; }",
        "link" => "link \"192.0.2.1\"",
        "voters" => "voters \"alpha\" \"beta\" \"witness\"",
        "group" => "group \"default\" { candidates \"alpha\" \"beta\"; }",
        "candidates" => "candidates \"alpha\" \"beta\"",
        "address" => "address \"192.0.2.10/24\" interface=\"eth0\"",
        "proof" => "proof \"power-off\" \"reset\"",
        "shared" | "disk" => "\"/dev/disk/by-id/wwn-0x600140500000001\"",
        "unit" | "standby-unit" => "unit \"nginx.service\"",
        "uplink" => "uplink \"ping\" \"192.0.2.254\"",
        "probe" => "probe \"http\" \"http://127.0.0.1/health\"",
        "fence" => "fence \"agent\" \"fence_ipmilan\" { option \"ip\" \"203.0.113.5\"; secret \"password\" \"ipmi\"; }",
        "option" => "option \"ip\" \"203.0.113.5\"",
        "secret" => "secret \"password\" \"NAME OF A CREDENTIAL\"",
        "moves-per-hour" => "moves-per-hour 10",
        "lost" | "back" | "votes" => "lost \"beta\" \"witness\"",
        "failback" => "failback \"manual\"",
        "asynchronous" => "asynchronous \"gamma\" lag=\"30s\" lag-bytes=\"64MiB\"",
        _ => "outage-budget \"2s\"",
    }
}
