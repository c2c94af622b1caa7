//! The report on one engine.

use serde_json::json;

/// What was seen of one engine.
pub(crate) struct Report {
    /// The name it was asked by.
    pub(crate) asked: String,
    /// Name and version, as the gateway learnt them.
    pub(crate) engine: String,
    pub(crate) nri: String,
    /// Events that the plugin got, in the order of the first of each.
    pub(crate) events: Vec<String>,
    /// The plugin's changes that the container's OCI spec has.
    pub(crate) applied: Vec<&'static str>,
    /// Those that it has not.
    pub(crate) lost: Vec<&'static str>,
    /// What this engine refuses a creation for, as it says it.
    pub(crate) refused: String,
    /// What the gateway said that this engine does not carry out.
    pub(crate) named: Vec<String>,
}

impl Report {
    /// The least that any engine must do: its plugin is asked, and a variable arrives.
    pub(crate) fn holds(&self) -> bool {
        self.events.iter().any(|event| event == "CreateContainer") && self.applied.contains(&"env")
    }

    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            let line = json!({"version": 1, "asked": self.asked, "engine": self.engine, "nri": self.nri,
                "events": self.events, "applied": self.applied, "lost": self.lost, "refused": self.refused,
                "named": self.named,
                "holds": self.holds()});
            println!("{line}");
            return;
        }
        println!("{} (NRI {}): {}", self.engine, self.nri, if self.holds() { "ok" } else { "MISSED" });
        for (what, list) in [
            ("events", self.events.join(", ")),
            ("applied", self.applied.join("; ")),
            ("lost", self.lost.join("; ")),
            ("refused", self.refused.clone()),
            ("named by the gateway", self.named.join("; ")),
        ] {
            println!("  {what:<21} {}", if list.is_empty() { "none" } else { &list });
        }
    }
}
