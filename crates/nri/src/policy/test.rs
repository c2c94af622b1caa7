//! Tests of policies: documents of the kind `PluginPolicyTest` (`policy.md` 1, "Tests of policies"), for `nri policy test`
//! and for daemons that load policies.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nri_policy::document::load::Loaded;
use nri_policy::document::node::{Node, Value};
use nri_policy::document::source::Span;
use serde_json::{Map, Value as Json, json};

use super::file;
use super::lock::InForce;
use super::render::plain;
use crate::failure::Failure;
use crate::output::Output;
use crate::replay;

/// Members of `expect.refused` (`cli.md`, `refused`).
const REFUSED: &[&str] = &[
    "plugin",
    "identity",
    "level",
    "field",
    "key",
    "op",
    "rule",
    "at",
    "action",
    "reason",
    "counterexample",
];
const OUTCOMES: &[&str] = &["unchanged", "adjusted", "rejected", "failed"];

/// Run tests of policies
///
/// Each test is a recorded request and what is expected of its decision; see `nri replay`. Exit code: 0 all tests pass, 1
/// one fails, 2 unreadable.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nri policy test /etc/nri/policy.d\n  nri policy test -o json gpu-test.yaml | jq '.tests[] | select(.passed | not)'"
)]
pub(crate) struct Args {
    /// Files, or folders of which all *.yaml, *.yml and *.json are read, with documents of kind PluginPolicyTest
    #[arg(value_name = "DIR|FILE", required = true)]
    paths: Vec<PathBuf>,
    /// Form of the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

pub(crate) fn run(args: &Args) -> Result<(String, ExitCode), Failure> {
    let loaded = file::load(&args.paths)?;
    complete(&loaded)?;
    let Tests(tests) = Tests::read(&loaded)?;
    if tests.is_empty() {
        let paths: Vec<String> = args.paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Failure::usage(format!("no document of kind PluginPolicyTest in {}", paths.join(", "))));
    }
    let results = tests.iter().map(Document::run).collect::<Result<Vec<_>, _>>()?.concat();
    let failed = results.iter().filter(|result| !result.passed()).count();
    let text = match args.output {
        Output::Text => shown(&results, failed),
        Output::Json => format!("{}\n", report(&results, failed)),
    };
    Ok((text, if failed > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS }))
}

/// The tests among what was loaded.
pub(super) struct Tests(Vec<Document>);

impl Tests {
    /// # Errors
    /// The first mistake in them.
    pub(super) fn read(loaded: &Loaded) -> Result<Self, Failure> {
        let read = |root: &Node| Reader { loaded, file: root.span }.document(root);
        loaded.tests.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// # Errors
    /// The first one that fails.
    pub(super) fn pass(&self) -> Result<(), Failure> {
        for document in &self.0 {
            let results = document.run()?;
            if let Some(failed) = results.iter().find(|result| !result.passed()) {
                let why: Vec<String> = failed.differences.iter().map(Difference::line).collect();
                let Ran { place, name, .. } = failed;
                return Err(Failure::usage(format!(
                    "{place}: the test {name:?} fails: {}; see `nri policy test`",
                    why.join("; ")
                )));
            }
        }
        Ok(())
    }
}

/// A file that may hold tests and cannot be read is an error; one with a policy is not, until a test names it.
fn complete(loaded: &Loaded) -> Result<(), Failure> {
    let policies: BTreeSet<_> = loaded.policies.iter().map(|policy| policy.name.at.file).collect();
    match file::errors(loaded).find(|found| !policies.contains(&found.span.file)) {
        Some(found) => {
            let (file, text) = (loaded.sources.name(found.span.file), file::brief(loaded, found));
            Err(Failure::usage(format!("{text}; see `nri policy check {file}`")))
        }
        None => Ok(()),
    }
}

/// One document of tests.
struct Document {
    policies: Vec<PathBuf>,
    tests: Vec<Test>,
}

struct Test {
    place: String,
    name: String,
    input: String,
    expect: Expect,
}

/// What is expected; what is absent may be anything.
#[derive(Default)]
struct Expect {
    outcome: Option<String>,
    error: Option<String>,
    refused: Option<Vec<Map<String, Json>>>,
}

/// How one test went.
#[derive(Clone)]
struct Ran {
    place: String,
    name: String,
    differences: Vec<Difference>,
}

/// A member that is not as expected.
#[derive(Clone)]
struct Difference {
    member: &'static str,
    expected: Json,
    found: Json,
}

impl Document {
    /// # Errors
    /// Its policies do not load.
    fn run(&self) -> Result<Vec<Ran>, Failure> {
        let policies = InForce::named(&self.policies, None, false)?;
        let one = |test: &Test| Ran {
            place: test.place.clone(),
            name: test.name.clone(),
            differences: test.expect.differences(&replay::decision(test.input.as_bytes(), &policies)),
        };
        Ok(self.tests.iter().map(one).collect())
    }
}

impl Expect {
    fn differences(&self, decision: &Json) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut differ = |member, expected: Json, found: Json| {
            differences.push(Difference { member, expected, found });
        };
        let found = &decision["outcome"];
        if self.outcome.as_ref().is_some_and(|outcome| found != outcome) {
            differ("outcome", json!(self.outcome), found.clone());
        }
        let kind = decision.pointer("/error/kind").unwrap_or(&Json::Null);
        let unexpected =
            self.outcome.is_some() && found == "failed" && self.outcome.as_deref() != Some("failed");
        if self.error.as_ref().is_some_and(|error| kind != error) || (self.error.is_none() && unexpected) {
            differ("error", json!(self.error), decision["error"].clone());
        }
        let Some(expected) = &self.refused else { return differences };
        let found: Vec<&Json> = decision["refused"].as_array().into_iter().flatten().collect();
        for entry in expected.iter().filter(|entry| !found.iter().any(|found| covers(entry, found))) {
            differ("refused", Json::Object(entry.clone()), Json::Null);
        }
        for entry in found.into_iter().filter(|found| !expected.iter().any(|entry| covers(entry, found))) {
            differ("refused", Json::Null, entry.clone());
        }
        differences
    }
}

/// Whether a refusal has all that an expected one names.
fn covers(expected: &Map<String, Json>, found: &Json) -> bool {
    expected.iter().all(|(member, value)| found.get(member).unwrap_or(&Json::Null) == value)
}

impl Ran {
    fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

impl Difference {
    fn line(&self) -> String {
        let Self { member, expected, found } = self;
        match (*member, expected, found) {
            ("refused", Json::Null, found) => {
                format!("refused: found {}, which is not expected", brief(found))
            }
            ("refused", expected, Json::Null) => format!("refused: expected {expected}, which is not found"),
            (_, expected, found) => format!("{member}: expected {}, found {}", word(expected), word(found)),
        }
    }
}

/// A refusal without what people do not compare.
fn brief(refused: &Json) -> Json {
    let mut brief = refused.clone();
    if let Some(members) = brief.as_object_mut() {
        members.retain(|name, value| name != "counterexample" && !value.is_null());
    }
    brief
}

fn word(json: &Json) -> String {
    match json {
        Json::Null => "nothing".to_owned(),
        Json::String(text) => text.clone(),
        Json::Object(error) => match (error.get("kind"), error.get("message")) {
            (Some(Json::String(kind)), Some(Json::String(message))) => format!("{kind} ({message})"),
            _ => json.to_string(),
        },
        other => other.to_string(),
    }
}

fn shown(results: &[Ran], failed: usize) -> String {
    let mut text = String::new();
    for result in results.iter().filter(|result| !result.passed()) {
        let Ran { place, name, .. } = result;
        text.push_str(&format!("{place}: {name}\n"));
        for difference in &result.differences {
            text.push_str(&format!("  {}\n", plain(&difference.line())));
        }
        text.push('\n');
    }
    let tests = if results.len() == 1 { "1 test" } else { &format!("{} tests", results.len()) };
    text.push_str(&match failed {
        0 => format!("{tests}, all passed.\n"),
        _ => format!("{tests}, {failed} failed.\n"),
    });
    text
}

fn report(results: &[Ran], failed: usize) -> Json {
    let one = |result: &Ran| {
        let differences = result.differences.iter().map(|difference| {
            let Difference { member, expected, found } = difference;
            json!({ "member": member, "expected": expected, "found": found })
        });
        json!({
            "at": result.place, "name": result.name, "passed": result.passed(),
            "differences": differences.collect::<Vec<_>>(),
        })
    };
    json!({
        "version": 1, "passed": results.len() - failed, "failed": failed,
        "tests": results.iter().map(one).collect::<Vec<_>>(),
    })
}

struct Reader<'a> {
    loaded: &'a Loaded,
    file: Span,
}

impl Reader<'_> {
    fn document(&self, root: &Node) -> Result<Document, Failure> {
        self.members(root, "a test document", &["apiVersion", "kind", "metadata", "spec"])?;
        let spec = self.needed(root, "spec")?;
        self.members(spec, "`spec`", &["policies", "tests"])?;
        let file = Path::new(self.loaded.sources.name(self.file.file));
        let folder = match file.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let policies = match spec.get("policies") {
            None => vec![folder.to_owned()],
            Some(list) => {
                let names = self.list(list, "`policies`")?.iter();
                names.map(|name| Ok(folder.join(self.text(name)?))).collect::<Result<_, Failure>>()?
            }
        };
        if policies.is_empty() {
            return Err(
                self.wrong(spec, "`policies` names no file; leave it out for every policy beside this file")
            );
        }
        let tests = self.list(self.needed(spec, "tests")?, "`tests`")?.iter();
        let tests = tests.map(|test| self.test(test)).collect::<Result<_, _>>()?;
        Ok(Document { policies, tests })
    }

    fn test(&self, test: &Node) -> Result<Test, Failure> {
        self.members(test, "a test", &["name", "input", "expect"])?;
        let name = self.text(self.needed(test, "name")?)?.to_owned();
        let input = self.needed(test, "input")?.to_json().to_string();
        let node = self.needed(test, "expect")?;
        self.members(node, "`expect`", &["outcome", "error", "refused"])?;
        if node.entries().is_empty() {
            return Err(self.wrong(node, "`expect` names nothing, so that the test could not fail"));
        }
        let mut expect = Expect::default();
        if let Some(outcome) = node.get("outcome") {
            let word = self.text(outcome)?;
            if !OUTCOMES.contains(&word) {
                let message = format!("no outcome {word:?}; there are {}", OUTCOMES.join(", "));
                return Err(self.wrong(outcome, &message));
            }
            expect.outcome = Some(word.to_owned());
        }
        if let Some(error) = node.get("error") {
            expect.error = Some(self.text(error)?.to_owned());
        }
        if let Some(refused) = node.get("refused") {
            let entries = self.list(refused, "`refused`")?.iter();
            let entries = entries.map(|entry| {
                self.members(entry, "an entry of `refused`", REFUSED)?;
                Ok(entry.to_json().as_object().cloned().unwrap_or_default())
            });
            expect.refused = Some(entries.collect::<Result<_, Failure>>()?);
        }
        Ok(Test { place: self.place(test), name, input, expect })
    }

    /// A mapping with no other members than these.
    fn members(&self, node: &Node, what: &str, known: &[&str]) -> Result<(), Failure> {
        if !matches!(node.value, Value::Map(_)) {
            return Err(self.wrong(node, &format!("{what} is a mapping, not {}", node.kind())));
        }
        match node.entries().iter().find(|entry| !known.contains(&&*entry.key)) {
            Some(entry) => {
                let at = self.at(entry.key_span);
                let (key, known) = (&entry.key, known.join(", "));
                Err(Failure::usage(format!("{at}: {what} has no member `{key}`; there are {known}")))
            }
            None => Ok(()),
        }
    }

    fn needed<'n>(&self, node: &'n Node, member: &str) -> Result<&'n Node, Failure> {
        node.get(member).ok_or_else(|| self.wrong(node, &format!("`{member}` is missing")))
    }

    fn list<'n>(&self, node: &'n Node, what: &str) -> Result<&'n [Node], Failure> {
        match &node.value {
            Value::List(items) => Ok(items),
            _ => Err(self.wrong(node, &format!("{what} is a list, not {}", node.kind()))),
        }
    }

    fn text<'n>(&self, node: &'n Node) -> Result<&'n str, Failure> {
        node.text().ok_or_else(|| self.wrong(node, &format!("text is expected, not {}", node.kind())))
    }

    fn wrong(&self, node: &Node, message: &str) -> Failure {
        Failure::usage(format!("{}: {message}", self.place(node)))
    }

    fn place(&self, node: &Node) -> String {
        self.at(node.span)
    }

    fn at(&self, span: Span) -> String {
        format!("{}:{}", self.loaded.sources.name(span.file), span.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "apiVersion: policy.nri-rs/v1alpha1
kind: PluginPolicy
metadata: {name: node}
spec:
  defaultLevel: untrusted
  levels:
    - {name: untrusted, fields: {mounts: deny, env: {allow: [{name: OK}], onViolation: drop-entry}}}
";

    fn document(expect: &str) -> String {
        format!(
            "apiVersion: policy.nri-rs/v1alpha1
kind: PluginPolicyTest
metadata: {{name: t}}
spec:
  policies: [node.yaml]
  tests:
    - name: host root is refused
      input: {{event: CreateContainer, pod: {{}}, container: {{}}, answers: [{{plugin: 10-a, adjust: {{
        mounts: [{{source: /, destination: /host}}], env: [{{key: BAD, value: x}}]}}}}]}}
      expect: {expect}
"
        )
    }

    fn outcome(expect: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("node.yaml"), POLICY).unwrap();
        let file = folder.path().join("t.yaml");
        std::fs::write(&file, document(expect)).unwrap();
        let loaded = file::load(&[file]).map_err(|failure| failure.to_string())?;
        let tests = Tests::read(&loaded).map_err(|failure| failure.to_string())?;
        let results = tests.0.iter().map(|document| document.run().unwrap()).collect::<Vec<_>>().concat();
        Ok(results.iter().flat_map(|ran| &ran.differences).map(|d| d.line() + "\n").collect())
    }

    #[test]
    fn what_is_named_is_compared() {
        for (expect, found) in [
            ("{outcome: rejected, error: policy}", ""),
            ("{refused: [{field: mounts, key: /host, action: reject}, {plugin: 10-a, field: env}]}", ""),
            ("{refused: [{plugin: 10-a}]}", ""),
            ("{outcome: adjusted}", "outcome: expected adjusted, found rejected\n"),
            ("{error: veto}", "error: expected veto, found policy ("),
            ("{refused: []}", "refused: found {\"plugin\":\"10-a\","),
            (
                "{refused: [{plugin: 10-a}, {key: /other}]}",
                "refused: expected {\"key\":\"/other\"}, which is not found\n",
            ),
        ] {
            let lines = outcome(expect).unwrap();
            assert!(lines.starts_with(found) && lines.is_empty() == found.is_empty(), "{expect}: {lines}");
        }
    }

    #[test]
    fn mistakes_have_a_place() {
        for (expect, message) in [
            ("{outcome: denied}", "t.yaml:10:25: no outcome \"denied\""),
            ("{refuse: []}", "t.yaml:10:16: `expect` has no member `refuse`"),
            ("{refused: [{plugn: a}]}", "has no member `plugn`"),
            ("{}", "`expect` names nothing"),
        ] {
            let error = outcome(expect).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    /// Beside the policies of a daemon a test that fails keeps them out of force.
    #[test]
    fn a_daemon_takes_no_policy_whose_test_fails() {
        for (expect, passes) in [("{outcome: rejected}", true), ("{outcome: adjusted}", false)] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("node.yaml"), POLICY).unwrap();
            std::fs::write(folder.path().join("t.yaml"), document(expect)).unwrap();
            let loaded = InForce::of_daemon(&[folder.path().to_owned()], None, false);
            assert_eq!(loaded.is_ok(), passes, "{expect}");
        }
    }
}
