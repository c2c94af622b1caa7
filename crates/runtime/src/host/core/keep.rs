//! Keeping what plugins said, for who records it. Nothing is kept unless that is asked for.

use std::sync::Arc;

use super::{Answer, Core, PluginId, RequestId};
use crate::host::given::{Given, Said};

impl Core {
    /// Keeps an answer, as it came, until its outcome is noted.
    pub(super) fn keep(&mut self, id: RequestId, plugin: PluginId, answer: &Answer, unknown: &[String]) {
        if !self.setup.keep_answers {
            return;
        }
        let said = match answer {
            Answer::Create(answer) => Said::Create(answer.clone()),
            Answer::Update(answer) => Said::Update(answer.clone()),
            Answer::Stop(answer) => Said::Stop(answer.clone()),
            Answer::Validate(answer) => Said::Validate(answer.clone()),
            Answer::Configure(_) | Answer::Synchronize(_) | Answer::Nothing => return,
        };
        let given = self.given(plugin, said, unknown);
        if let Some(party) = self.requests.get_mut(&id).and_then(|request| request.waiting_for(plugin)) {
            party.given = Some(Arc::new(given));
        }
    }

    /// Shows the embedder what a plugin asks for outside of any request. The message is built only if that is wanted.
    pub(super) fn show_asked(&self, plugin: PluginId, said: impl FnOnce() -> Said, unknown: &[String]) {
        if !self.setup.keep_answers {
            return;
        }
        if let Some(name) = self.plugins.get(&plugin).and_then(|plugin| plugin.name.as_ref()) {
            self.setup.embedder.0.asked(name, &self.given(plugin, said(), unknown));
        }
    }

    fn given(&self, plugin: PluginId, said: Said, unknown: &[String]) -> Given {
        Given::new(self.identity(plugin), said, unknown, &self.table)
    }
}
