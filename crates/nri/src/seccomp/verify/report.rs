//! What `nri seccomp verify` tells.

use std::fmt::Write as _;
use std::process::ExitCode;

use nri_seccomp::bpf::{Program, Verdict};
use nri_seccomp::compare::{Call, Relation};
use nri_seccomp::settings::Host;
use serde_json::{Value, json};

use super::Split;
use super::status::Status;
use super::threads::Threads;

/// A filter of the process.
pub(super) struct Found {
    pub(super) program: Program,
    pub(super) stub: Split,
    pub(super) log: Option<bool>,
}

/// Everything that was found.
pub(super) struct Report {
    pub(super) pid: i32,
    pub(super) container: Option<String>,
    pub(super) status: Status,
    pub(super) threads: Threads,
    /// The one installed last comes first.
    pub(super) filters: Vec<Found>,
    /// Absent where there is nothing to compare with.
    pub(super) verdict: Option<Verdict>,
}

/// Whether the process keeps to the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Result {
    Adherent,
    Differs,
    Unknown,
}

impl Report {
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.result() {
            None | Some(Result::Adherent) => 0,
            Some(Result::Differs) => 1,
            Some(Result::Unknown) => 4,
        })
    }

    /// "Adherent" is said of the whole process only; a loosening in the thread that was read is one.
    fn result(&self) -> Option<Result> {
        let relation = self.verdict.as_ref()?.relation;
        Some(match relation {
            Relation::Looser | Relation::Incomparable if !self.strict() => Result::Differs,
            Relation::Equal | Relation::Tighter if self.doubt().is_none() => Result::Adherent,
            _ => Result::Unknown,
        })
    }

    fn strict(&self) -> bool {
        self.status.mode == Some(1)
    }

    /// Why it cannot be told what the process may do, beside the verdict.
    fn doubt(&self) -> Option<String> {
        let read = u32::try_from(self.filters.len()).unwrap_or(u32::MAX);
        if self.strict() {
            return Some("the process is in strict mode, which has no filters".to_owned());
        }
        if self.status.mode.is_none() {
            return Some("the kernel does not tell the mode of the process".to_owned());
        }
        if self.status.filters.is_some_and(|filters| filters != read) {
            return Some(format!("{read} filters were read, and the process has another number of them"));
        }
        let others = &self.threads.others;
        (!others.is_empty()).then(|| {
            let tids: Vec<String> = others.iter().take(5).map(|other| other.tid.to_string()).collect();
            let more = if others.len() > tids.len() { ", …" } else { "" };
            format!(
                "{} of {} threads have another number of filters than the first one ({}{more})",
                others.len(),
                self.threads.count,
                tids.join(", ")
            )
        })
    }

    fn reason(&self) -> Option<String> {
        let verdict = self.verdict.as_ref()?;
        if let Some(call) = &verdict.counterexample {
            return Some(shown(call));
        }
        verdict.reason.clone().or_else(|| self.doubt())
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let count = self.filters.len();
        let plural = if count == 1 { "" } else { "s" };
        let _ =
            writeln!(text, "process {}: mode {}, {count} filter{plural}", self.pid, self.status.mode_text());
        for (place, found) in self.filters.iter().enumerate() {
            let instructions = found.program.instructions().len();
            let _ = write!(text, "  filter {}: {instructions} instructions", place + 1);
            if found.log == Some(true) {
                text.push_str(", answers are recorded");
            }
            if let Some((stub, _)) = &found.stub {
                let borders: Vec<String> =
                    borders(stub).map(|(arch, border)| format!("{arch} {border}")).collect();
                let _ = write!(
                    text,
                    "; the first {} are runc's ENOSYS stub for numbers above {}",
                    stub.instructions,
                    borders.join(", ")
                );
            }
            text.push('\n');
        }
        let reason = self.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
        match (self.result(), &self.verdict) {
            (Some(Result::Adherent), Some(verdict)) if verdict.relation == Relation::Equal => {
                text.push_str("adherent: the filters do what the policy says\n");
            }
            (Some(Result::Adherent), verdict) => {
                let call = verdict.as_ref().and_then(|verdict| verdict.stricter.as_ref());
                let example = call.map(|call| format!(", for example {}", shown(call))).unwrap_or_default();
                let _ = writeln!(text, "adherent: the filters are tighter than the policy{example}");
            }
            (Some(Result::Differs), _) => {
                let _ = writeln!(text, "differs{reason}");
            }
            (Some(Result::Unknown), _) => {
                let _ = writeln!(text, "unknown{reason}");
            }
            (None, _) => {
                if let Some(doubt) = self.doubt() {
                    let _ = writeln!(text, "note: {doubt}");
                }
                text.push_str("nothing to compare with; pass --against FILE\n");
            }
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let filters: Vec<Value> = self.filters.iter().map(filter).collect();
        let others = self.threads.others.iter();
        let others: Vec<Value> = others
            .map(|other| json!({"tid": other.tid, "mode": other.status.mode_text(), "filters": other.status.filters}))
            .collect();
        let mut json = json!({
            "version": 1,
            "pid": self.pid,
            "mode": self.status.mode_text(),
            "noNewPrivs": self.status.no_new_privs,
            "filters": filters,
            "threads": {"count": self.threads.count, "others": others},
        });
        let mut add = |name: &str, value: Option<Value>| {
            if let (Some(object), Some(value)) = (json.as_object_mut(), value) {
                object.insert(name.to_owned(), value);
            }
        };
        add("container", self.container.as_deref().map(Value::from));
        add(
            "result",
            self.result().map(|result| match result {
                Result::Adherent => "adherent".into(),
                Result::Differs => "differs".into(),
                Result::Unknown => "unknown".into(),
            }),
        );
        let verdict = self.verdict.as_ref();
        add("relation", verdict.map(|verdict| verdict.relation.as_str().into()));
        add(
            "counterexample",
            verdict.and_then(|verdict| verdict.counterexample.as_ref()).map(counterexample),
        );
        add("stricter", verdict.and_then(|verdict| verdict.stricter.as_ref()).map(counterexample));
        add("reason", self.reason().map(Value::from));
        json
    }
}

fn borders(stub: &nri_seccomp::bpf::Stub) -> impl Iterator<Item = (&'static str, u32)> {
    let archs = Host::this().archs().to_vec();
    archs.into_iter().filter_map(|arch| stub.border(arch).map(|border| (arch.short(), border)))
}

fn filter(found: &Found) -> Value {
    let stub = found.stub.as_ref().map(|(stub, _)| {
        let borders: serde_json::Map<String, Value> =
            borders(stub).map(|(arch, border)| (arch.to_owned(), border.into())).collect();
        json!({"instructions": stub.instructions, "borders": borders})
    });
    json!({"instructions": found.program.instructions().len(), "log": found.log, "stub": stub})
}

fn counterexample(call: &Call) -> Value {
    let text = |effect: nri_seccomp::term::Effect| format!("SCMP_ACT_{effect}");
    json!({
        "arch": call.arch.as_str(),
        "syscall": call.syscall,
        "nr": call.nr,
        "args": call.args,
        "policy": text(call.old),
        "live": text(call.new),
    })
}

/// `x86_64: mkdir(0, …): ERRNO(1) by the policy, ALLOW by the filters`
fn shown(call: &Call) -> String {
    let name = match (&call.syscall, call.nr) {
        (Some(name), _) => name.clone(),
        (None, Some(number)) => format!("system call {number}"),
        (None, None) => "a system call".to_owned(),
    };
    let args: Vec<String> = call.args.iter().map(|arg| format!("{arg:#x}")).collect();
    format!(
        "{}: {name}({}): {} by the policy, {} by the filters",
        call.arch.short(),
        args.join(", "),
        call.old,
        call.new
    )
}
