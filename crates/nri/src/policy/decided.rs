//! `nri policy explain AUDIT-ID --audit FILE` and `--container ID`: what the audit log says, for people (`policy.md` 13).

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde_json::{Value, json};

use super::render::plain;
use crate::failure::{Failure, Kind};
use crate::output::Output;
use crate::table::{self, table};

/// Most bytes of one line that are read; longer ones are passed over.
const LINE_MAX: u64 = 64 * 1024 * 1024;

/// What one line says.
///
/// # Errors
/// The file cannot be read, or has no such line.
pub(super) fn line(file: &Path, id: &str, output: Output) -> Result<String, Failure> {
    let mut found = None;
    each(file, |line| {
        if text(&line, "/id").eq_ignore_ascii_case(id) {
            found = Some(line);
        }
    })?;
    let line = found.ok_or_else(|| {
        Failure::new(Kind::Rejected, format!("{} has no line {id}; was it rotated away?", file.display()))
    })?;
    Ok(match output {
        Output::Json => format!("{line}\n"),
        Output::Text => shown(&line),
    })
}

/// Who changed what in a container, and who wanted to. `id`: the container's, or the beginning of it.
///
/// # Errors
/// The file cannot be read, or says nothing of such a container.
pub(super) fn container(file: &Path, id: &str, output: Output) -> Result<String, Failure> {
    let mut known = false;
    let mut rows = Vec::new();
    each(file, |line| {
        let own = text(&line, "/container/id").starts_with(id);
        known |= own;
        rows.extend(changes(&line, own, id));
    })?;
    if !known && rows.is_empty() {
        let message = format!("{} says nothing of a container {id}", file.display());
        return Err(Failure::new(Kind::Rejected, message));
    }
    if output == Output::Json {
        return Ok(format!("{}\n", json!({ "version": 1, "container": id, "changes": rows })));
    }
    if rows.is_empty() {
        return Ok("no plugin changed anything, or wanted to\n".to_owned());
    }
    let head = ["TIME", "OPERATION", "PLUGIN", "FIELD", "KEY", "OP", "BEFORE", "AFTER", "RESULT"];
    let mut cells = vec![head.map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        let cell = |pointer: &str| table::plain(text(row, pointer));
        [
            plain(text(row, "/time").get(..19).unwrap_or_default()),
            cell("/operation"),
            cell("/plugin"),
            cell("/field"),
            cell("/key"),
            cell("/op"),
            value(&row["before"]),
            value(&row["after"]),
            cell("/result"),
        ]
    }));
    Ok(table(&cells))
}

/// The changes of a line that are about a container: what counts, and what was refused.
fn changes(line: &Value, own: bool, id: &str) -> Vec<Value> {
    let (event, operation, verdict) =
        (text(line, "/event"), text(line, "/operation"), text(line, "/verdict"));
    let plugin = plugin(line);
    let one = |change: &Value| {
        let target = change.get("container").and_then(Value::as_str);
        if !target.map_or(own, |target| target.starts_with(id)) {
            return None;
        }
        let said = text(change, "/verdict");
        let result = match (event, operation, verdict) {
            ("final", ..) => "applied",
            (_, _, "drop-plugin") if said == "allow" => "drop-plugin",
            (_, "create", _) if !matches!(said, "reject" | "drop-entry" | "drop-plugin") => return None,
            (_, _, "reject" | "error") if said == "allow" => return None,
            _ if said == "allow" => "applied",
            _ => said,
        };
        let mut row = json!({
            "time": line["time"], "id": line["id"], "operation": operation,
            "plugin": change.get("plugin").cloned().unwrap_or_else(|| plugin.clone().into()),
            "field": change["field"], "key": change["key"], "op": change["op"],
            "before": change["before"], "after": change["after"], "result": result,
        });
        for member in ["rule", "at", "reason"] {
            if let (Some(value), Some(row)) = (change.get(member), row.as_object_mut()) {
                row.insert(member.to_owned(), value.clone());
            }
        }
        Some(row)
    };
    line["changes"].as_array().into_iter().flatten().filter_map(one).collect()
}

/// A line for people.
fn shown(line: &Value) -> String {
    let mut page = head(line);
    if text(line, "/event") == "decision" {
        page.push_str(&format!("\n{:<9} {}\n", "plugin", who(line)));
        let proofs = line.pointer("/plugin/proofs").and_then(Value::as_array).into_iter().flatten();
        let proofs: Vec<&str> = proofs.filter_map(Value::as_str).collect();
        let proofs = if proofs.is_empty() { "nothing".to_owned() } else { proofs.join(", ") };
        let assurance = text(line, "/plugin/assurance");
        page.push_str(&format!("{:<9} proven by  {}   ({})\n", "", plain(&proofs), plain(assurance)));
    }
    let all: Vec<&Value> = line["changes"].as_array().into_iter().flatten().collect();
    let (allowed, violating): (Vec<&Value>, Vec<&Value>) =
        all.iter().partition(|change| matches!(text(change, "/verdict"), "" | "allow"));
    for change in &violating {
        page.push_str(&violation(change));
    }
    for refused in line["refused"].as_array().into_iter().flatten() {
        let (field, key) = (plain(text(refused, "/field")), plain(text(refused, "/key")));
        page.push_str(&format!("\n{:<9} {field}  {key}\n", "whole"));
        page.push_str(&rule(refused, text(refused, "/action")));
    }
    if let Some(error) = line.get("error") {
        page.push_str(&format!("\n{:<9} {}\n", "error", plain(&in_words(error))));
    }
    if text(line, "/event") == "final" && !all.is_empty() {
        let mut rows = vec![["", "PLUGIN", "FIELD", "KEY", "OP", "BEFORE", "AFTER"].map(str::to_owned)];
        rows.extend(all.iter().map(|change| cells(change, plain(text(change, "/plugin")))));
        page.push_str(&format!("\n{}", table(&rows)));
    } else if !violating.is_empty() && !allowed.is_empty() {
        page.push_str(&format!("\n{:<9} {}\n", "other", others(line, allowed.len())));
    } else if !allowed.is_empty() {
        let mut rows = vec![["change", "FIELD", "KEY", "OP", "BEFORE", "AFTER", "RULE"].map(str::to_owned)];
        rows.extend(allowed.iter().map(|change| {
            let [_, _, field, key, op, before, after] = cells(change, String::new());
            [String::new(), field, key, op, before, after, plain(text(change, "/rule"))]
        }));
        page.push_str(&format!("\n{}", table(&rows)));
    }
    if let Some(name) = line.pointer("/plugin/name").and_then(Value::as_str) {
        let name = plain(name);
        page.push_str(&format!(
            "{:<9} nri policy explain --plugin {name}     what this plugin may do\n",
            "next"
        ));
    }
    page
}

/// Verdict, operation, pod and container, time, policy.
fn head(line: &Value) -> String {
    let verdict = match (text(line, "/event"), text(line, "/verdict")) {
        ("policy.load", _) => "LOADED",
        ("policy.reject", _) => "NOT LOADED",
        (_, "allow") => "ALLOWED",
        (_, "reject") => "REJECTED",
        (_, "drop-entry" | "drop-plugin") => "DROPPED",
        (_, "warn") => "WARNED",
        (_, "audit") => "RECORDED",
        _ => "FAILED",
    };
    let place = match (text(line, "/pod/name"), text(line, "/container/id")) {
        ("", "") => String::new(),
        ("", id) => id.to_owned(),
        (pod, _) => {
            let name = match text(line, "/container/name") {
                "" => text(line, "/container/id"),
                name => name,
            };
            format!("{}/{pod} ({name})", text(line, "/pod/namespace"))
        }
    };
    let hash = text(line, "/policy/hash");
    let parts = [
        verdict.to_owned(),
        plain(text(line, "/operation")),
        plain(&place),
        plain(text(line, "/time").get(..19).unwrap_or_default()),
        format!("policy {}", plain(hash.get(..12).unwrap_or(hash))),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let reason = text(line, "/reason");
    let reason = if reason.is_empty() { String::new() } else { format!("\n{}\n", plain(reason)) };
    format!("{}\n{reason}", parts.join("  "))
}

fn who(line: &Value) -> String {
    let level = match text(line, "/plugin/level") {
        "" => "no level".to_owned(),
        level => format!("level {}", plain(level)),
    };
    match text(line, "/plugin/identity") {
        "" => format!("{} is no identity, {level}", plain(&plugin(line))),
        identity => format!("{} = identity {}, {level}", plain(&plugin(line)), plain(identity)),
    }
}

fn violation(change: &Value) -> String {
    let (field, key, op) = (text(change, "/field"), text(change, "/key"), text(change, "/op"));
    let mut page = format!("\n{:<9} {}  {} {}\n", "change", plain(field), plain(op), plain(key));
    for (name, member) in [("before", &change["before"]), ("after", &change["after"])] {
        if !member.is_null() {
            let value = member.as_str().map_or_else(|| member.to_string(), str::to_owned);
            page.push_str(&format!("{:<11} {name:<6}  {}\n", "", plain(&value)));
        }
    }
    page.push_str(&rule(change, text(change, "/verdict")));
    if let Some(shown) = change.get("counterexample") {
        page.push_str(&format!("{:<11} shown by  {}\n", "", plain(&shown.to_string())));
    }
    page
}

fn rule(about: &Value, action: &str) -> String {
    let (rule, at, reason) = (text(about, "/rule"), text(about, "/at"), text(about, "/reason"));
    format!(
        "\n{:<9} {}  {}\n{:<11} {}  → {}\n",
        "rule",
        plain(rule),
        plain(at),
        "",
        plain(reason),
        plain(action)
    )
}

fn others(line: &Value, count: usize) -> String {
    let counted = if count == 1 { "1 change".to_owned() } else { format!("{count} changes") };
    let fate = match text(line, "/verdict") {
        "reject" if text(line, "/operation") == "create" => {
            "; none was applied, the container was not created"
        }
        "reject" => "; none was applied",
        "drop-plugin" => "; all were dropped with them",
        _ => "",
    };
    format!("{counted} of this plugin allowed{fate}")
}

fn in_words(error: &Value) -> String {
    let members = error.as_object().into_iter().flatten();
    let words: Vec<String> = members
        .map(|(name, value)| match (name.as_str(), value.as_str()) {
            ("kind", Some(kind)) => kind.to_owned(),
            (name, Some(text)) => format!("{name} {text}"),
            (name, None) => format!("{name} {value}"),
        })
        .collect();
    words.join(", ")
}

fn cells(change: &Value, plugin: String) -> [String; 7] {
    let cell = |pointer: &str| table::plain(text(change, pointer));
    [
        String::new(),
        plugin,
        cell("/field"),
        cell("/key"),
        cell("/op"),
        value(&change["before"]),
        value(&change["after"]),
    ]
}

/// The plugin's full name.
fn plugin(line: &Value) -> String {
    match (text(line, "/plugin/index"), text(line, "/plugin/name")) {
        ("", name) => name.to_owned(),
        (index, name) => format!("{index}-{name}"),
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => table::plain(text),
        other => table::plain(&other.to_string()),
    }
}

fn text<'v>(line: &'v Value, pointer: &str) -> &'v str {
    line.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Calls for every whole line of an audit log.
fn each(file: &Path, mut look: impl FnMut(Value)) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::usage(format!("cannot read the audit log {}: {error}", file.display()))
    };
    let mut input = BufReader::new(File::open(file).map_err(unreadable)?);
    loop {
        let mut line = Vec::new();
        if input.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            return Ok(());
        }
        // A line that is torn says nothing.
        if let Ok(json) = serde_json::from_slice(&line) {
            look(json);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"{"schema":"nri.audit/v1","time":"2026-11-23T09:14:07.213904Z","seq":1,"id":"01JDCM3T9W7Q0001","event":"decision","operation":"create","mode":"enforce","verdict":"reject","plugin":{"name":"gpu-injector","index":"20","identity":"gpu","level":"device-injector","proofs":["pod.namespace"],"assurance":"medium","pid":7},"pod":{"namespace":"ml-train","name":"trainer-0"},"container":{"name":"main","id":"c0ffee12"},"policy":{"hash":"7c1e0b52d9aa0000","generation":14},"counts":{"changes":2,"violations":1,"dropped":0},"changes":[{"field":"mounts","key":"/host","op":"add","before":null,"after":{"source":"/"},"verdict":"reject","rule":"node-default/gpu-libs","at":"10-node.yaml:73:9","reason":"source / is in @host-sensitive","exception":null},{"field":"env","key":"A","op":"add","before":null,"after":{"hmac":"h1:5d","len":1},"verdict":"allow","rule":"node-default/device-injector/env","at":null}],"latency_us":412}
{"schema":"nri.audit/v1","time":"2026-11-23T09:14:08.000000Z","seq":2,"id":"01JDCM3T9W7Q0002","event":"final","operation":"create","mode":"enforce","verdict":"allow","container":{"name":"main","id":"c0ffee13"},"policy":{"hash":"7c1e","generation":14},"changes":[{"plugin":"10-a","field":"env","key":"B","op":"add","before":null,"after":{"hmac":"h1:aa","len":2}}]}
{"schema":"nri.audit/v1","time":"2026-11-23T09:14:09.000000Z","seq":3,"id":"01JDCM3T9W7Q0003","event":"decision","operation":"unsolicited","verdict":"allow","plugin":{"name":"b","index":"30"},"policy":{"hash":"7c1e","generation":14},"changes":[{"container":"c0ffee13","field":"cpu.shares","key":"","op":"replace","before":2,"after":5,"verdict":"allow","rule":"r"}]}
{"torn"#;

    fn log() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), LOG).unwrap();
        file
    }

    #[test]
    fn why_it_was_decided_so() {
        let log = log();
        assert_eq!(
            line(log.path(), "01jdcm3t9w7q0001", Output::Text).unwrap(),
            "REJECTED  create  ml-train/trainer-0 (main)  2026-11-23T09:14:07  policy 7c1e0b52d9aa

plugin    20-gpu-injector = identity gpu, level device-injector
          proven by  pod.namespace   (medium)

change    mounts  add /host
            after   {\"source\":\"/\"}

rule      node-default/gpu-libs  10-node.yaml:73:9
            source / is in @host-sensitive  → reject

other     1 change of this plugin allowed; none was applied, the container was not created
next      nri policy explain --plugin gpu-injector     what this plugin may do
"
        );
        let json = line(log.path(), "01JDCM3T9W7Q0002", Output::Json).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["seq"], 2);
        assert!(line(log.path(), "01JDCM3T9W7Q0009", Output::Text).is_err());
    }

    #[test]
    fn who_changed_what_in_a_container() {
        let log = log();
        let rows = |id: &str| -> Value {
            serde_json::from_str(&container(log.path(), id, Output::Json).unwrap()).unwrap()
        };
        let said = |id: &str| -> Vec<String> {
            let changes = rows(id)["changes"].as_array().unwrap().clone();
            changes
                .iter()
                .map(|row| [text(row, "/plugin"), text(row, "/field"), text(row, "/result")].join(" "))
                .collect()
        };
        assert_eq!(said("c0ffee12"), ["20-gpu-injector mounts reject"]);
        assert_eq!(said("c0ffee13"), ["10-a env applied", "30-b cpu.shares applied"]);
        assert!(container(log.path(), "other", Output::Text).is_err());
        let table = container(log.path(), "c0ffee13", Output::Text).unwrap();
        assert_eq!(table.lines().count(), 3, "{table}");
    }
}
