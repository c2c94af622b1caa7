//! One recorded request on its way: each answer is judged and merged in its turn, then the validators have their say, then
//! the spec is adjusted. The same judge, merge and OCI application as in a host (`nri_runtime`).

use std::time::Duration;

use nri_policy::identity::Facts;
use nri_policy::judge::{Asked, Judge, Other, Permitted, Refused, Verdict};
use nri_runtime::host::{Cause, Consulted, Created, Failure, Outcome, Stopped, Updated};
use nri_runtime::merge::{self, Creation, Passed, Stop, Update};
use nri_runtime::oci::{self, Resolvers};
use nri_wire::api::{StopContainerResponse, UpdateContainerResponse};
use nri_wire::event::Event;
use nri_wire::name::PluginName;
use serde_json::Value;

use super::line::{self, Answer, Known, Line, Request, Said};
use crate::chain::Adjusted;
use crate::decision::Decision;

/// The decision about one line of a recording. `number`: which line, from 1.
pub(super) fn decide(number: usize, text: &[u8], judge: &Judge) -> Decision {
    let json: Value = match serde_json::from_slice(text) {
        Ok(json) => json,
        Err(error) => {
            let at = error.column();
            let text = error.to_string();
            let text = text.split(" at line ").next().unwrap_or_default();
            return Decision::unreadable(
                "",
                format!("line {number}, column {at}: not JSON: {text}; a recorded request is expected"),
            );
        }
    };
    let id = line::id(&json);
    match line::read(json) {
        Ok(line) => replay(&id, line, judge),
        Err(why) => Decision::unreadable(&id, format!("line {number}: {why}")),
    }
}

fn replay(id: &str, line: Line, judge: &Judge) -> Decision {
    let mut way = Way { judge, targets: &line.targets, plugins: Vec::new(), refused: Vec::new() };
    match line.request {
        Request::Create(request) => {
            let mut creation = Creation::new(*request);
            let merged = line.answers.into_iter().try_for_each(|answer| way.create(&mut creation, answer));
            let result = merged.and_then(|()| validated(&line.validators));
            let result = way.end(Event::CreateContainer, result, |plugins, refused| Created {
                merged: creation.finish(),
                plugins,
                validators: line.validators.iter().map(|v| consulted(&v.plugin, v.outcome.clone())).collect(),
                refused,
            });
            let applied = result.as_ref().ok().zip(line.spec.as_ref()).map(|(created, spec)| {
                // Classes, devices and mount tables are the recorded node's, not ours.
                oci::apply(spec, &created.merged.adjust, &Resolvers::default()).map(|applied| applied.spec)
            });
            Decision::new(id, Adjusted { result, applied })
        }
        Request::Update(request) => {
            let mut update = Update::new(*request);
            let result = line.answers.into_iter().try_for_each(|answer| way.update(&mut update, answer));
            let result = way.end(Event::UpdateContainer, result, |plugins, refused| Updated {
                merged: update.finish(),
                plugins,
                refused,
            });
            Decision::updated(id, result)
        }
        Request::Stop(request) => {
            let mut stop = Stop::new(*request);
            let result = line.answers.into_iter().try_for_each(|answer| way.stop(&mut stop, answer));
            let result = way.end(Event::StopContainer, result, |plugins, refused| Stopped {
                merged: stop.finish(),
                plugins,
                refused,
            });
            Decision::stopped(id, result)
        }
        Request::Unmerged => {
            let mut passed = Passed::default();
            for answer in line.answers {
                // Nothing that one plugin asks for by itself fails what another asks for.
                way.unmerged(&mut passed, answer);
            }
            Decision::passed(id, passed, &way.plugins, way.refused)
        }
    }
}

/// What goes along from answer to answer.
struct Way<'a> {
    judge: &'a Judge,
    targets: &'a Known,
    plugins: Vec<Consulted>,
    refused: Vec<Refused>,
}

impl Way<'_> {
    fn create(&mut self, creation: &mut Creation, answer: Answer) -> Result<(), Cause> {
        let plugin = answer.plugin.clone();
        let Some((answer, unknown)) = self.answered(answer)? else { return Ok(()) };
        let asked = Asked {
            plugin: &plugin,
            facts: Facts::nothing(),
            basis: creation.basis(self.targets),
            unknown: &unknown,
        };
        let permitted = permitted(&plugin, self.judge.judge(&asked, answer), &mut self.refused)?;
        creation.apply(&plugin, permitted).map_err(Cause::from)
    }

    fn update(&mut self, update: &mut Update, answer: Answer) -> Result<(), Cause> {
        let plugin = answer.plugin.clone();
        let Some((answer, unknown)) = self.answered(answer)? else { return Ok(()) };
        let answer = UpdateContainerResponse { update: answer.update, evict: answer.evict };
        let asked = Asked {
            plugin: &plugin,
            facts: Facts::nothing(),
            basis: update.basis(self.targets),
            unknown: &unknown,
        };
        let permitted = permitted(&plugin, self.judge.judge(&asked, answer), &mut self.refused)?;
        update.apply(&plugin, permitted).map_err(Cause::from)
    }

    fn stop(&mut self, stop: &mut Stop, answer: Answer) -> Result<(), Cause> {
        let plugin = answer.plugin.clone();
        let Some((answer, unknown)) = self.answered(answer)? else { return Ok(()) };
        let answer = StopContainerResponse { update: answer.update };
        let asked = Asked {
            plugin: &plugin,
            facts: Facts::nothing(),
            basis: Other { targets: self.targets },
            unknown: &unknown,
        };
        let permitted = permitted(&plugin, self.judge.judge(&asked, answer), &mut self.refused)?;
        stop.apply(&plugin, permitted).map_err(Cause::from)
    }

    fn unmerged(&mut self, passed: &mut Passed, answer: Answer) {
        let plugin = answer.plugin.clone();
        let Ok(Some((answer, unknown))) = self.answered(answer) else { return };
        let asked = Asked {
            plugin: &plugin,
            facts: Facts::nothing(),
            basis: Other { targets: self.targets },
            unknown: &unknown,
        };
        let verdict = self.judge.judge(&asked, Answer::unmerged(answer));
        if let Ok(permitted) = permitted(&plugin, verdict, &mut self.refused) {
            passed.extend([merge::pass(&plugin, permitted)]);
        }
    }

    /// The answer, if there is one, and what it has that we do not know. A plugin that was gone or late is passed over.
    fn answered(
        &mut self,
        answer: Answer,
    ) -> Result<Option<(nri_wire::api::CreateContainerResponse, Vec<String>)>, Cause> {
        let Answer { plugin, said } = answer;
        let (outcome, result) = match said {
            Said::Answer(answer, unknown) => (Outcome::Answer, Ok(Some((*answer, unknown)))),
            Said::Gone => (Outcome::Gone, Ok(None)),
            Said::Late => (Outcome::Late, Ok(None)),
            Said::Veto(reason) => {
                // A recording has no status code; plugins' own words come with "unknown".
                let code = nri_wire::ttrpc::Code::Unknown.number();
                (Outcome::Veto(reason.clone()), Err(Cause::Veto { plugin: plugin.clone(), reason, code }))
            }
            Said::Invalid(reason) => {
                (Outcome::Answer, Err(Cause::Invalid { plugin: plugin.clone(), reason }))
            }
        };
        self.plugins.push(consulted(&plugin, outcome));
        result
    }

    fn end<T>(
        &mut self,
        event: Event,
        result: Result<(), Cause>,
        done: impl FnOnce(Vec<Consulted>, Vec<Refused>) -> T,
    ) -> Result<T, Failure> {
        let (plugins, refused) = (std::mem::take(&mut self.plugins), std::mem::take(&mut self.refused));
        match result {
            Ok(()) => Ok(done(plugins, refused)),
            Err(cause) => Err(Failure { event, cause, plugins, refused }),
        }
    }
}

fn permitted<A>(
    plugin: &PluginName,
    verdict: Verdict<A>,
    refused: &mut Vec<Refused>,
) -> Result<Permitted<A>, Cause> {
    refused.extend(verdict.refused);
    verdict.permitted.ok_or_else(|| Cause::Policy(plugin.clone()))
}

/// The first validator, by name, that does not agree (EXT-040: silence is no agreement).
fn validated(validators: &[line::Validator]) -> Result<(), Cause> {
    let mut validators: Vec<_> = validators.iter().collect();
    validators.sort_by(|a, b| a.plugin.cmp(&b.plugin));
    validators.into_iter().try_for_each(|validator| {
        let reason = match &validator.outcome {
            Outcome::Answer => return Ok(()),
            Outcome::Veto(reason) => reason.clone(),
            Outcome::Gone => "its connection was lost before it answered".to_owned(),
            Outcome::Late => "it did not answer in time".to_owned(),
        };
        Err(Cause::Validator { plugin: validator.plugin.clone(), reason })
    })
}

fn consulted(plugin: &PluginName, outcome: Outcome) -> Consulted {
    Consulted { plugin: plugin.clone(), outcome, took: Duration::ZERO, given: None }
}
