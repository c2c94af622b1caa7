//! `nri policy explain`.

use std::path::PathBuf;

use nri_policy::diagnostic::{CODES, Code, nearest};
use nri_policy::document::policy::{Identity, Level, Policy};
use nri_policy::document::word::ClientOverride;
use nri_policy::explain::{self, Line, Verdict};
use nri_policy::rule::glob::Glob;
use nri_policy::rule::set::Set;
use nri_policy::rule::table::Group;
use nri_policy::rule::{FieldKey, Mode, OnViolation};

use super::{decided, file};
use crate::failure::Failure;
use crate::table::table;

/// Say in plain words what a plugin may do, why something was decided so, or what a set or diagnostic means
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nri policy explain --plugin gpu-injector\n  nri policy explain --policy 10-node.yaml --level untrusted\n  nri policy explain @runtime-control\n  nri policy explain E044\n  nri policy explain 01JDCM3T9W7Q2D4F --audit audit.jsonl\n  nri policy explain --container c0ffee12ab34 --audit audit.jsonl"
)]
#[command(group = clap::ArgGroup::new("question").required(true).args(["what", "plugin", "level", "container"]))]
pub(crate) struct Args {
    /// A diagnostic's code, a set or group of fields with its `@`, or with --audit the id of an audit line
    #[arg(value_name = "CODE|@SET|AUDIT-ID")]
    what: Option<String>,
    /// What this plugin may do; its name with or without index, or an identity
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// What plugins of this level may do
    #[arg(long, value_name = "LEVEL")]
    level: Option<String>,
    /// What was changed in this container, and by whom; its id, or the beginning of it
    #[arg(long, value_name = "ID", requires = "audit")]
    container: Option<String>,
    /// Audit log of `nri run`, `nri adjust` or `nri gateway`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["plugin", "level", "policy"])]
    audit: Option<PathBuf>,
    /// Form of the answer, of what an audit log says
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: crate::output::Output,
    /// The policies; default: /etc/nri/policy.d
    #[arg(long, value_name = "FILE|DIR")]
    policy: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<String, Failure> {
    if let Some(audit) = &args.audit {
        return match (&args.container, &args.what) {
            (Some(container), _) => decided::container(audit, container, args.output),
            (None, what) => decided::line(audit, what.as_deref().unwrap_or_default(), args.output),
        };
    }
    if let Some(what) = &args.what {
        return if what.starts_with('@') { set(what) } else { code(what) };
    }
    let policies = file::enforce(&args.policy)?.policies;
    let mut text = String::new();
    let mut others = Vec::new();
    for policy in &policies {
        let found = match (&args.plugin, &args.level) {
            (Some(name), _) => Some(plugin(policy, name)),
            (None, Some(name)) => {
                policy.level(name).map(|level| may(policy, level, &format!("level {name}"), ""))
            }
            (None, None) => None,
        };
        let Some(found) = found else {
            others.extend(policy.levels.iter().map(|level| &*level.name.value));
            continue;
        };
        if policies.len() > 1 {
            text.push_str(&format!("policy {}\n", policy.name.value));
        }
        text.push_str(&found);
    }
    if text.is_empty() {
        let name = args.level.as_deref().unwrap_or_default();
        let known = others.join(", ");
        return Err(Failure::usage(format!("no policy has a level {name:?}; there are {known}")));
    }
    if policies.len() > 1 {
        text.push_str(
            "A change must be allowed by every one of these policies whose scope has the container.\n",
        );
    }
    Ok(text)
}

fn code(name: &str) -> Result<String, Failure> {
    let code: Code = name.parse().map_err(|_| {
        let near = nearest(name, CODES.iter().map(|info| info.name));
        let near = near.map(|near| format!(", did you mean {near}?")).unwrap_or_default();
        Failure::usage(format!(
            "{name:?} is neither a diagnostic's code nor a set, whose name begins with @{near}"
        ))
    })?;
    let info = code.info();
    let head = format!("{}[{}]: {}", code.severity().name(), info.name, info.title);
    Ok(format!("{head}\n\n{}\n", wrapped(info.explanation)))
}

fn set(name: &str) -> Result<String, Failure> {
    if let Some(set) = Set::from_name(name) {
        let members: String = set.members().iter().map(|member| format!("  {member}\n")).collect();
        return Ok(format!("{name}: {}\n{members}", set.about()));
    }
    if let Some(group) = Group::ALL.into_iter().find(|group| group.name() == name) {
        let fields: String = group.fields().map(|field| format!("  {field}\n")).collect();
        return Ok(format!("{name}: a group of fields; a rule of the field itself goes before it\n{fields}"));
    }
    let names: Vec<&str> =
        Set::ALL.iter().map(|set| set.name()).chain(Group::ALL.iter().map(|group| group.name())).collect();
    Err(Failure::usage(format!("there is no set {name}; there are {}", names.join(", "))))
}

/// What a policy says about plugins of a name, which alone proves nothing.
fn plugin(policy: &Policy, name: &str) -> String {
    let bare = match name.split_once('-') {
        Some((index, bare)) if index.len() == 2 && index.bytes().all(|b| b.is_ascii_digit()) => bare,
        _ => name,
    };
    let identities =
        policy.identities.iter().filter(|identity| *identity.name.value == *name || concerns(identity, bare));
    let mut text = String::new();
    for identity in identities {
        let Some(level) = policy.level(&identity.level.value) else { continue };
        let proof = identity.matches.proof();
        let by = identity.matches.selectors().join(", ");
        let by = if by.is_empty() { "nothing".to_owned() } else { by };
        let known = format!("  known as identity {} by {by} ({proof} proof)\n", identity.name.value);
        text.push_str(&may(policy, level, &format!("{name} (level {})", level.name.value), &known));
    }
    let default = policy.default_level.as_ref().and_then(|level| policy.level(&level.value));
    let who =
        if text.is_empty() { name.to_owned() } else { format!("{name}, where it does not prove that,") };
    match default {
        Some(level) => {
            let head = format!("{who} (level {}, the defaultLevel)", level.name.value);
            text.push_str(&if text.is_empty() {
                may(policy, level, &head, "")
            } else {
                format!("{who} has level {}\n", level.name.value)
            });
        }
        None => text.push_str(&format!(
            "{who} is not spoken for by this policy; if no other one speaks for it, it may change nothing\n"
        )),
    }
    text
}

/// Whether an identity is about plugins of this name.
fn concerns(identity: &Identity, bare: &str) -> bool {
    let named = |glob: &Option<Box<str>>| glob.as_ref().is_some_and(|glob| Glob::text(glob).is_match(bare));
    identity.reserve.iter().any(|name| **name == *bare)
        || named(&identity.matches.plugin_name)
        || identity.matches.any_of.iter().any(|alternative| named(&alternative.plugin_name))
}

/// What a level may do.
fn may(policy: &Policy, level: &Level, who: &str, known: &str) -> String {
    let lines = explain::level(policy, level);
    let (denied, granted): (Vec<&Line>, Vec<&Line>) =
        lines.iter().partition(|line| line.verdict == Verdict::Deny);
    let mut text =
        if granted.is_empty() { format!("{who} may change nothing\n") } else { format!("{who} may\n") };
    text.push_str(&table(&rows(&granted)));
    text.push_str(known);
    let mut effects: Vec<(String, Vec<String>)> = Vec::new();
    for line in denied {
        let effect = effect(line);
        match effects.iter_mut().find(|(known, _)| *known == effect) {
            Some((_, fields)) => fields.push(denied_name(line)),
            None => effects.push((effect, vec![denied_name(line)])),
        }
    }
    let effects: Vec<String> =
        effects.into_iter().map(|(effect, fields)| format!("{} → {effect}", fields.join(", "))).collect();
    if !effects.is_empty() {
        let head = if granted.is_empty() { "" } else { "and nothing else: " };
        text.push_str(&format!("{head}{}\n", effects.join("; ")));
    }
    text.push_str(&format!("{} Updates: {}.\n", client(policy, level), explain::updates(level)));
    text
}

/// A row for each field, or for all that one key says the same about.
fn rows(granted: &[&Line]) -> Vec<[String; 3]> {
    let mut rows: Vec<[String; 3]> = Vec::new();
    // What is said of all the others comes last.
    let (rest, named): (Vec<&Line>, Vec<&Line>) =
        granted.iter().partition(|line| line.key == Some(FieldKey::All));
    for line in named.into_iter().chain(rest) {
        let name = match line.key {
            Some(FieldKey::All) => "every other field".to_owned(),
            Some(key) => key.name().to_owned(),
            None => line.subject.name().to_owned(),
        };
        let row = [
            format!("  {name}"),
            line.ops.clone(),
            format!("{}{}", line.what, if line.verdict == Verdict::Allow { "" } else { staged(line.mode) }),
        ];
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    rows
}

fn denied_name(line: &Line) -> String {
    let name = line.subject.name();
    if line.what.is_empty() { name.to_owned() } else { format!("{name} ({})", line.what) }
}

fn staged(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "",
        Mode::Warn => " (other values are reported, not stopped)",
        Mode::Audit => " (other values are recorded, not stopped)",
    }
}

fn effect(line: &Line) -> String {
    match (line.mode, line.on_violation) {
        (Mode::Warn, _) => "reported, not stopped",
        (Mode::Audit, _) => "recorded, not stopped",
        (Mode::Enforce, OnViolation::Reject) => "container rejected",
        (Mode::Enforce, OnViolation::DropEntry) => "change dropped",
        (Mode::Enforce, OnViolation::DropPlugin) => "everything of its answer dropped",
    }
    .to_owned()
}

fn client(policy: &Policy, level: &Level) -> String {
    let word = policy.client_override.word();
    if level.may_override_client == Some(true) {
        return "What the client gave may be changed (mayOverrideClient).".to_owned();
    }
    match policy.client_override {
        ClientOverride::Security => {
            format!("The client's security context is kept (clientOverride: {word}).")
        }
        ClientOverride::Honour => format!("What the client gave is kept (clientOverride: {word})."),
        ClientOverride::HonourUnlessTighter => {
            format!("What the client gave is kept, or made less (clientOverride: {word}).")
        }
        ClientOverride::Ignore => format!("What the client gave is not kept (clientOverride: {word})."),
    }
}

/// Text in lines of at most 100 characters.
fn wrapped(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < 100 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}
