//! Every example of `spec/seccomp.md` 1 is a case here. Policies are JSON, rules are written `name cond && cond -> action`.

mod answers;
mod bounds;
mod hazards;
mod rules;

use serde_json::{Value, json};

use super::*;
use crate::syscall;

/// A policy with this default action and rules such as `socket arg0 == 1 && arg1 & 6 == 2 -> ALLOW`, or `read -> LOG`.
fn policy(default: &str, rules: &[&str]) -> Value {
    let mut json = action(default);
    let object = json.as_object_mut().unwrap();
    let errno = object.remove("errnoRet");
    object.insert("defaultAction".into(), object["action"].clone());
    object.remove("action");
    object.extend(errno.map(|errno| ("defaultErrnoRet".to_owned(), errno)));
    object.insert("listenerPath".into(), "/run/listener.sock".into());
    object.insert("syscalls".into(), rules.iter().map(|text| rule(text)).collect());
    json
}

fn rule(text: &str) -> Value {
    let (names, effect) = text.split_once("->").unwrap();
    let (names, args) = names.trim().split_once(' ').unwrap_or((names.trim(), ""));
    let mut json = action(effect.trim());
    json["names"] = names.split(',').collect();
    json["args"] = args.split("&&").filter(|arg| !arg.trim().is_empty()).map(condition).collect();
    json
}

fn action(text: &str) -> Value {
    let (kind, number) = text.split_once('(').unwrap_or((text, ""));
    let mut json = json!({"action": format!("SCMP_ACT_{kind}")});
    if let Some(number) = number.strip_suffix(')') {
        json["errnoRet"] = number.parse::<u32>().unwrap().into();
    }
    json
}

fn condition(text: &str) -> Value {
    let words: Vec<&str> = text.split_whitespace().collect();
    let index: u32 = words[0].strip_prefix("arg").unwrap().parse().unwrap();
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
        None => text.parse().unwrap(),
    };
    let op = match words[1] {
        "==" => "SCMP_CMP_EQ",
        "!=" => "SCMP_CMP_NE",
        "<" => "SCMP_CMP_LT",
        "<=" => "SCMP_CMP_LE",
        ">" => "SCMP_CMP_GT",
        ">=" => "SCMP_CMP_GE",
        "&" => {
            return json!({"index": index, "op": "SCMP_CMP_MASKED_EQ", "value": number(words[2]), "valueTwo": number(words[4])});
        }
        other => panic!("{other}"),
    };
    json!({"index": index, "op": op, "value": number(words[2])})
}

fn with(mut json: Value, key: &str, value: Value) -> Value {
    json[key] = value;
    json
}

const X86S: [&str; 3] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];

fn on_x86s(json: Value) -> Value {
    with(json, "architectures", json!(X86S))
}

fn read(json: &Value) -> Policy {
    Policy::from_json(json).unwrap()
}

fn effect(text: &str) -> Effect {
    let json = action(text);
    let action = json["action"].as_str().unwrap().parse().unwrap();
    Effect::of(action, json["errnoRet"].as_u64().map(|number| number.try_into().unwrap()))
}

/// Settings with another runtime.
fn under(runtime: &str) -> Settings {
    let mut settings = Settings::default();
    settings.set("runtime", runtime).unwrap();
    settings
}

fn args<const N: usize>(given: [u64; N]) -> [u64; ARGUMENTS] {
    let mut args = [0; ARGUMENTS];
    args[..N].copy_from_slice(&given);
    args
}

/// The answer to a call by name on a host of x86_64 with x86 and x32.
fn answer(json: &Value, settings: &Settings, arch: Arch, name: &str, args: &[u64; ARGUMENTS]) -> Effect {
    let policy = read(json);
    let model = Model::new(Some(&policy), &Host::x86_64(), settings, Reading::All).unwrap();
    let key = syscall::number(arch, name).map_or(Key::Name(name), Key::Number);
    let answer = model.abi(arch).evaluate(key, args).unwrap();
    if let Some(list) = model.abi(arch).group(key).and_then(|group| group.list()) {
        assert_eq!(crate::decision::evaluate(&list, args), Some(answer), "list of {name}");
    }
    answer
}
