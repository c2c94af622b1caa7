//! Policies from text, and answers judged by them.

use nri_wire::api::{Container, ContainerAdjustment, CreateContainerResponse, PodSandbox};

use crate::change::Containers;
use crate::document::load::{File, load};
use crate::host::NoHost;
use crate::identity::Facts;
use crate::judge::{Asked, Creation, Judge, Options, Refused, Targets, Verdict};

/// A judge of policies, each a whole `spec` in one line; they are called p0, p1 …
pub(super) fn judge(specs: &[&str]) -> Judge {
    judge_with(specs, Options::default())
}

pub(super) fn judge_with(specs: &[&str], options: Options) -> Judge {
    let files = specs.iter().enumerate().map(|(number, spec)| File {
        name: format!("p{number}.yaml"),
        content: format!(
            "apiVersion: policy.nri-rs/v1alpha1\nkind: PluginPolicy\nmetadata: {{name: p{number}}}\nspec: {spec}\n"
        )
        .into_bytes(),
        distrust: None,
    });
    let set = load(files.collect(), &NoHost).into_set();
    let set = set.unwrap_or_else(|loaded| panic!("{specs:?}: {:?}", loaded.diagnostics.list()));
    Judge::new(&set, options)
}

/// A judge of one policy with one level for everybody, of these fields.
pub(super) fn fields(fields: &str) -> Judge {
    judge(&[&level(fields)])
}

pub(super) fn level(fields: &str) -> String {
    format!("{{clientOverride: ignore, defaultLevel: l, levels: [{{name: l, fields: {{{fields}}}}}]}}")
}

/// One creation.
pub(super) struct Case {
    pub(super) pristine: Container,
    pub(super) running: Option<Container>,
    pub(super) pod: PodSandbox,
    pub(super) facts: Facts,
    pub(super) unknown: Vec<String>,
}

impl Case {
    pub(super) fn new(pristine: Container) -> Self {
        let pod = PodSandbox { namespace: "default".into(), ..Default::default() };
        Self { pristine, running: None, pod, facts: Facts::default(), unknown: Vec::new() }
    }

    pub(super) fn answer(
        &self,
        judge: &Judge,
        plugin: &str,
        answer: CreateContainerResponse,
        targets: &dyn Targets,
    ) -> Verdict<CreateContainerResponse> {
        let plugin = plugin.parse().unwrap();
        let running = self.running.as_ref().unwrap_or(&self.pristine);
        let containers = Containers { pristine: &self.pristine, running };
        let basis = Creation { containers, pod: Some(&self.pod), targets };
        judge.judge(&Asked { plugin: &plugin, facts: &self.facts, basis, unknown: &self.unknown }, answer)
    }

    pub(super) fn adjust(
        &self,
        judge: &Judge,
        adjust: ContainerAdjustment,
    ) -> Verdict<CreateContainerResponse> {
        let answer = CreateContainerResponse { adjust: Some(adjust), ..Default::default() };
        self.answer(judge, "10-a", answer, &())
    }
}

/// `FIELD KEY OP RULE ACTION`, parts that are not there left out.
pub(super) fn line(refused: &Refused) -> String {
    let action = serde_json::to_value(refused.action).unwrap();
    let op = refused.op.map(crate::change::Op::name).unwrap_or_default();
    let parts = [&refused.field, &refused.key, op, &refused.rule, action.as_str().unwrap()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

pub(super) fn lines<A>(verdict: &Verdict<A>) -> Vec<String> {
    verdict.refused.iter().map(line).collect()
}

/// The adjustment that is left, if the request does not fail.
pub(super) fn left(verdict: &Verdict<CreateContainerResponse>) -> Option<ContainerAdjustment> {
    verdict.permitted.as_ref().map(|permitted| permitted.answer().adjust.clone().unwrap_or_default())
}
