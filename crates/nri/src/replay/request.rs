//! One recorded request on its way: each answer is judged and merged in its turn, then the validators have their say, then
//! the spec is adjusted. The same judge, merge and OCI application as in a host (`nri_runtime`).

use nri_policy::change::Recorded;
use nri_policy::document::word::UpdateKind;
use nri_policy::identity::Facts;
use nri_policy::judge::{self, Asked, Judge, Member, Other, Permitted, Refused};
use nri_runtime::host::{self, Cause, Circumstances, Consulted, Created, Failure, Outcome, Stopped, Updated};
use nri_runtime::merge::{self, Creation, Merged, Passed, Stop, Unmerged, Update};
use nri_runtime::oci::{self, Resolvers};
use nri_wire::api::{
    CreateContainerResponse, StopContainerResponse, SynchronizeResponse, UpdateContainerResponse,
    UpdateContainersRequest,
};
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
        Ok(line) => replay(&id, line, judge, &mut Vec::new()),
        Err(why) => Decision::unreadable(&id, format!("line {number}: {why}")),
    }
}

/// What one answer asks for.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) plugin: PluginName,
    pub(crate) facts: Facts,
    pub(crate) changes: Vec<Recorded>,
    pub(crate) updates: Vec<UpdateKind>,
}

/// What the answers of one line ask for. The judge must record.
///
/// # Errors
/// What is wrong with the line.
pub(super) fn wishes(number: usize, text: &[u8], judge: &Judge) -> Result<Vec<Wish>, String> {
    let json = serde_json::from_slice(text).map_err(|error| format!("line {number}: {error}"))?;
    let line = line::read(json).map_err(|why| format!("line {number}: {why}"))?;
    let mut wishes = Vec::new();
    replay("", line, judge, &mut wishes);
    Ok(wishes)
}

fn replay(id: &str, line: Line, judge: &Judge, wishes: &mut Vec<Wish>) -> Decision {
    let (kind, own) = match &line.request {
        Request::Create(_) => (UpdateKind::Others, None),
        Request::Update(request) => (UpdateKind::Others, request.container.as_ref().map(|c| c.id.clone())),
        Request::Stop(_) => (UpdateKind::OnStop, None),
        Request::Synchronize => (UpdateKind::Sync, None),
        Request::UpdateContainers => (UpdateKind::Unsolicited, None),
    };
    let (plugins, facts, refused) = (Vec::new(), Vec::new(), Vec::new());
    let mut way = Way { judge, targets: &line.targets, plugins, facts, refused, kind, own, wishes };
    match line.request {
        Request::Create(request) => {
            let mut creation = Creation::new(*request);
            let result = line.answers.into_iter().try_for_each(|answer| way.create(&mut creation, answer));
            let merged = creation.finish();
            let result = result
                .and_then(|()| way.conclude(&merged, &line.validators))
                .and_then(|()| validated(&line.validators));
            let result = way.end(Event::CreateContainer, result, |plugins, refused| Created {
                merged,
                plugins,
                validators: line
                    .validators
                    .iter()
                    .map(|v| Consulted::new(v.plugin.clone(), v.outcome.clone()))
                    .collect(),
                refused,
            });
            let applied = result.as_ref().ok().zip(line.spec.as_ref()).map(|(created, spec)| {
                // Classes, devices and mount tables are the recorded node's, not ours.
                oci::apply(spec, &created.merged.adjust, &Resolvers::default()).map(|applied| applied.spec)
            });
            Decision::new(id, Adjusted { result, applied, audit: None })
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
        Request::Synchronize => {
            let mut passed = Passed::default();
            let read =
                |answer: CreateContainerResponse| SynchronizeResponse { update: answer.update, more: false };
            line.answers.into_iter().for_each(|answer| way.unmerged(&mut passed, answer, read));
            Decision::passed(id, passed, &way.plugins, way.refused)
        }
        Request::UpdateContainers => {
            let mut passed = Passed::default();
            let read = |answer: CreateContainerResponse| UpdateContainersRequest {
                update: answer.update,
                evict: answer.evict,
            };
            line.answers.into_iter().for_each(|answer| way.unmerged(&mut passed, answer, read));
            Decision::passed(id, passed, &way.plugins, way.refused)
        }
    }
}

/// What goes along from answer to answer.
struct Way<'a> {
    judge: &'a Judge,
    targets: &'a Known,
    plugins: Vec<Consulted>,
    /// Who these plugins were.
    facts: Vec<Facts>,
    refused: Vec<Refused>,
    /// What an update of another container than this one is.
    kind: UpdateKind,
    own: Option<String>,
    /// Kept by a judge that records.
    wishes: &'a mut Vec<Wish>,
}

/// An answer that counts once it is judged.
struct Heard {
    plugin: PluginName,
    facts: Facts,
    answer: CreateContainerResponse,
    unknown: Vec<String>,
}

impl Way<'_> {
    fn create(&mut self, creation: &mut Creation, answer: Answer) -> Result<(), Cause> {
        let Some(mut heard) = self.answered(answer)? else { return Ok(()) };
        let answer = std::mem::take(&mut heard.answer);
        let permitted = self.permit(&heard, creation.basis(self.targets), answer)?;
        creation.apply(&heard.plugin, permitted).map_err(Cause::from)
    }

    fn update(&mut self, update: &mut Update, answer: Answer) -> Result<(), Cause> {
        let Some(mut heard) = self.answered(answer)? else { return Ok(()) };
        let CreateContainerResponse { update: updates, evict, .. } = std::mem::take(&mut heard.answer);
        let answer = UpdateContainerResponse { update: updates, evict };
        let permitted = self.permit(&heard, update.basis(self.targets), answer)?;
        update.apply(&heard.plugin, permitted).map_err(Cause::from)
    }

    fn stop(&mut self, stop: &mut Stop, answer: Answer) -> Result<(), Cause> {
        let Some(mut heard) = self.answered(answer)? else { return Ok(()) };
        let answer = StopContainerResponse { update: std::mem::take(&mut heard.answer).update };
        let permitted = self.permit(&heard, Other { targets: self.targets }, answer)?;
        stop.apply(&heard.plugin, permitted).map_err(Cause::from)
    }

    /// What one plugin asks for by itself. What fails of it fails nothing of what another one asks for.
    fn unmerged<A>(
        &mut self,
        passed: &mut Passed,
        answer: Answer,
        read: impl FnOnce(CreateContainerResponse) -> A,
    ) where
        A: Unmerged + for<'b> judge::Answer<Basis<'b> = Other<'b>>,
    {
        let Ok(Some(mut heard)) = self.answered(answer) else { return };
        let answer = read(std::mem::take(&mut heard.answer));
        if let Ok(permitted) = self.permit(&heard, Other { targets: self.targets }, answer) {
            passed.extend([merge::pass(&heard.plugin, permitted)]);
        }
    }

    fn permit<A: judge::Answer>(
        &mut self,
        heard: &Heard,
        basis: A::Basis<'_>,
        answer: A,
    ) -> Result<Permitted<A>, Cause> {
        let asked = Asked { plugin: &heard.plugin, facts: &heard.facts, basis, unknown: &heard.unknown };
        let verdict = self.judge.judge(&asked, answer);
        self.refused.extend(verdict.refused);
        if let Some(wish) = self.wishes.last_mut() {
            wish.changes = verdict.judged.into_iter().map(|judged| judged.change).collect();
        }
        verdict.permitted.ok_or_else(|| Cause::Policy(heard.plugin.clone()))
    }

    /// Notes what an answer asks of other containers; its changes come when they are judged.
    fn wish(&mut self, plugin: &PluginName, facts: &Facts, answer: &CreateContainerResponse) {
        if !self.judge.records() {
            return;
        }
        let kind = |id: &str| if self.own.as_deref() == Some(id) { UpdateKind::Own } else { self.kind };
        let mut updates: Vec<UpdateKind> =
            answer.update.iter().map(|update| kind(&update.container_id)).collect();
        if !answer.evict.is_empty() {
            updates.push(UpdateKind::Evict);
        }
        let (plugin, facts) = (plugin.clone(), facts.clone());
        self.wishes.push(Wish { plugin, facts, changes: Vec::new(), updates });
    }

    /// What the policies say to the end result.
    fn conclude(&mut self, merged: &Merged, validators: &[line::Validator]) -> Result<(), Cause> {
        let asked = |plugin: &PluginName| self.plugins.iter().any(|consulted| consulted.plugin == *plugin);
        let asked_only_later = validators.iter().filter(|validator| !asked(&validator.plugin));
        let chain: Vec<_> = self
            .plugins
            .iter()
            .zip(&self.facts)
            .map(|(consulted, facts)| Member {
                plugin: &consulted.plugin,
                facts,
                answered: match consulted.outcome {
                    Outcome::Answer => Ok(()),
                    Outcome::Veto(_) => Err("refused"),
                    Outcome::Late => Err("did not answer in time"),
                    Outcome::Gone => Err("was lost before it answered"),
                },
            })
            .chain(asked_only_later.map(|validator| Member {
                plugin: &validator.plugin,
                facts: Facts::nothing(),
                answered: Ok(()),
            }))
            .collect();
        let circumstances = Circumstances { chain: &chain, is_live: false };
        host::conclude(self.judge, merged, circumstances, &mut self.refused)
    }

    /// The answer, if there is one, and what it has that we do not know. A plugin that was gone or late is passed over.
    fn answered(&mut self, answer: Answer) -> Result<Option<Heard>, Cause> {
        let Answer { plugin, facts, said } = answer;
        self.facts.push(facts.clone());
        let (outcome, result) = match said {
            Said::Answer(answer, unknown) => {
                self.wish(&plugin, &facts, &answer);
                let heard = Heard { plugin: plugin.clone(), facts, answer: *answer, unknown };
                (Outcome::Answer, Ok(Some(heard)))
            }
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
        self.plugins.push(Consulted::new(plugin, outcome));
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
