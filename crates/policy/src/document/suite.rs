//! Documents of the kind `PluginPolicyTest` (`policy.md` 1, "Tests of policies").

use serde_json::{Map, Value as Json};

use super::node::{Node, Value};
use super::shape;
use super::source::Span;
use super::walk::Walk;
use crate::diagnostic::Diagnostics;

/// Tests of policies.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Suite {
    /// `metadata.name`.
    pub name: Box<str>,
    /// Where the document begins; its file is what `policies` are relative to.
    pub at: Span,
    /// The policies, as written; `None`: every one beside the file.
    pub policies: Option<Vec<Box<str>>>,
    /// The tests.
    pub cases: Vec<Case>,
}

/// One test.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Case {
    /// What it shows.
    pub name: Box<str>,
    /// Where it stands.
    pub at: Span,
    /// A line of `nri replay`.
    pub input: Json,
    /// The outcome, if that is compared.
    pub outcome: Option<Box<str>>,
    /// The kind of the error, if that is compared.
    pub error: Option<Box<str>>,
    /// The refusals as a set, if they are compared: each matches one that has all of its members.
    pub refused: Option<Vec<Map<String, Json>>>,
}

impl Suite {
    /// Reads a document of [`Loaded::tests`](super::load::Loaded). `None` if something is wrong with it, which goes to
    /// `out`.
    #[must_use]
    pub fn read(root: &Node, out: &mut Diagnostics) -> Option<Self> {
        let before = out.errors();
        let first = root.entries().first().map_or(root.span, |entry| entry.key_span);
        Walk { out: &mut *out, missing_at: first }.object(root, "", &shape::TEST_DOCUMENT);
        let spec = root.get("spec")?;
        for (index, test) in spec.get("tests").map(Node::items).unwrap_or_default().iter().enumerate() {
            mappings(test, &format!("spec.tests[{index}]"), out);
        }
        if out.errors() > before {
            return None;
        }
        let texts = |node: &Node| node.items().iter().filter_map(Node::text).map(Box::from).collect();
        Some(Self {
            name: Box::from(root.get("metadata")?.get("name")?.text()?),
            at: first,
            policies: spec.get("policies").map(texts),
            cases: spec.get("tests")?.items().iter().filter_map(case).collect(),
        })
    }
}

fn case(node: &Node) -> Option<Case> {
    let expect = node.get("expect")?;
    let text = |name: &str| expect.get(name).and_then(Node::text).map(Box::from);
    let object = |node: &Node| match node.to_json() {
        Json::Object(object) => Some(object),
        _ => None,
    };
    Some(Case {
        name: Box::from(node.get("name")?.text()?),
        at: node.entry("name")?.span(),
        input: node.get("input")?.to_json(),
        outcome: text("outcome"),
        error: text("error"),
        refused: expect.get("refused").map(|list| list.items().iter().filter_map(object).collect()),
    })
}

/// `input` and the entries of `refused` are mappings, whatever is in them.
fn mappings(test: &Node, path: &str, out: &mut Diagnostics) {
    let is_mapping = |node: &Node| matches!(node.value, Value::Map(_));
    if let Some(input) = test.get("input").filter(|input| !is_mapping(input)) {
        out.mismatch(input, &format!("{path}.input"), "a line of `nri replay`");
    }
    let refused = test.get("expect").and_then(|expect| expect.get("refused"));
    for (index, entry) in refused.map(Node::items).unwrap_or_default().iter().enumerate() {
        if !is_mapping(entry) {
            out.mismatch(
                entry,
                &format!("{path}.expect.refused[{index}]"),
                "a mapping of a refusal's members",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::load::{File, load};
    use crate::host::NoHost;

    fn read(spec: &str) -> (Option<Suite>, Vec<String>) {
        let head =
            "apiVersion: policy.nri-rs/v1alpha1\nkind: PluginPolicyTest\nmetadata: {name: gpu}\nspec:\n";
        let file = File { name: "t.yaml".into(), content: format!("{head}{spec}").into(), distrust: None };
        let loaded = load(vec![file], &NoHost);
        assert!(loaded.diagnostics.is_empty() && loaded.policies.is_empty());
        let mut out = Diagnostics::default();
        let suite = Suite::read(&loaded.tests[0], &mut out);
        (suite, out.list().iter().map(|d| format!("{} {} {}", d.code, d.span.start, d.path)).collect())
    }

    #[test]
    fn the_sample() {
        let (suite, found) = read(
            "  policies: [10-node.yaml]\n  tests:\n    - name: host root is refused\n      input: {version: 1, id: t1, event: CreateContainer, pod: {}, container: {}, answers: []}\n      expect: {outcome: rejected, refused: [{plugin: 20-gpu, field: mounts, key: /host, action: reject}]}\n    - {name: nothing, input: {}, expect: {refused: []}}\n",
        );
        let suite = suite.unwrap_or_else(|| panic!("{found:?}"));
        assert_eq!((&*suite.name, suite.policies.unwrap().len(), suite.cases.len()), ("gpu", 1, 2));
        let case = &suite.cases[0];
        assert_eq!((case.input["version"].as_i64(), case.outcome.as_deref()), (Some(1), Some("rejected")));
        assert_eq!(case.refused.as_ref().unwrap()[0]["key"], Json::from("/host"));
        assert_eq!(
            (suite.cases[1].outcome.as_deref(), suite.cases[1].refused.as_deref()),
            (None, Some(&[][..]))
        );
    }

    #[test]
    fn mistakes() {
        for (spec, expect) in [
            ("  policies: []", &["E023 4:1 spec.tests"][..]),
            (
                "  tests: [{name: a, input: 3, expect: {outcome: fine, refused: [x]}}]",
                &[
                    "E024 5:49 spec.tests[0].expect.outcome",
                    "E024 5:28 spec.tests[0].input",
                    "E024 5:65 spec.tests[0].expect.refused[0]",
                ],
            ),
            (
                "  tests: [{name: a, expects: {}}]",
                &[
                    "E021 5:21 spec.tests[0].expects",
                    "E023 4:1 spec.tests[0].input",
                    "E023 4:1 spec.tests[0].expect",
                ],
            ),
        ] {
            let (suite, found) = read(spec);
            assert_eq!(found, expect);
            assert!(suite.is_none());
        }
    }
}
