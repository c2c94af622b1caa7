//! The members of every object of a policy document (`policy.md` 1). Reading, the JSON Schema and the texts for people go by
//! these tables.

use super::word::{ClientOverride, EditRule, FailurePolicy, Meaning, Proof, UnconfinedMeans, Unenforceable};

/// An object.
#[derive(Debug)]
pub(crate) struct Shape {
    /// What it is, with its article.
    pub(crate) name: &'static str,
    pub(crate) members: &'static [Member],
}

/// A member of an object.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) need: Need,
    /// What it says, for people.
    pub(crate) about: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Optional,
    Required,
    /// Not built yet (E061).
    Later,
}

/// What a value must be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// A text of one line that is not empty.
    Name,
    /// A plugin's index: two digits, also as a number.
    Index,
    Bool,
    /// A whole number of 64 bits.
    Integer,
    /// A user or group id, or a list of them.
    Ids,
    /// A number that is not negative, with a suffix if need be.
    Amount,
    /// `1m30s`.
    Duration,
    Words(&'static [&'static str]),
    Invariant,
    /// The name of a field.
    Field,
    /// `preset/NAME@v1`.
    Preset,
    /// A glob; in a path glob `*` stops at `/`.
    Glob,
    PathGlob,
    /// 64 hexadecimal digits.
    Digest,
    /// A mapping of texts to texts.
    Labels,
    List(&'static Kind),
    Object(&'static Shape),
    /// `allow`, `deny`, or an object.
    Grant(&'static Shape),
    /// Keys of fields with their rules.
    Rules,
    /// Whatever stands there, somebody else has looked or will.
    Any,
}

const fn member(name: &'static str, kind: Kind, need: Need, about: &'static str) -> Member {
    Member { name, kind, need, about }
}

const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Member {
    member(name, kind, Need::Optional, about)
}

const fn required(name: &'static str, kind: Kind, about: &'static str) -> Member {
    member(name, kind, Need::Required, about)
}

const fn later(name: &'static str, about: &'static str) -> Member {
    member(name, Kind::Any, Need::Later, about)
}

const MODE: Member = optional(
    "mode",
    Kind::Words(&["enforce", "warn", "audit"]),
    "whether violations are stopped, reported or recorded; the innermost mode counts",
);
const ON_VIOLATION: Member = optional(
    "onViolation",
    Kind::Words(&["reject", "drop-entry", "drop-plugin"]),
    "what a violation does; default: reject for dangerous fields, else drop-entry",
);
const ID: Member = optional("id", Kind::Name, "the rule's name in decisions");
const GLOBS: Kind = Kind::List(&Kind::Glob);

/// A whole document.
pub(crate) static DOCUMENT: Shape = Shape {
    name: "a policy document",
    members: &[
        required("apiVersion", Kind::Any, "policy.nri-rs/v1alpha1"),
        required("kind", Kind::Any, "PluginPolicy"),
        required("metadata", Kind::Object(&METADATA), "what the policy is called"),
        required("spec", Kind::Object(&SPEC), "what it says"),
    ],
};

static METADATA: Shape = Shape {
    name: "`metadata`",
    members: &[
        required("name", Kind::Name, "the policy's name in decisions; no two loaded policies have the same"),
        optional("labels", Kind::Labels, "for people and their tools"),
    ],
};

pub(crate) static SPEC: Shape = Shape {
    name: "`spec`",
    members: &[
        optional(
            "extends",
            Kind::Preset,
            "a preset whose spec is taken over where this one does not say otherwise",
        ),
        MODE,
        optional(
            "failurePolicy",
            Kind::Words(FailurePolicy::WORDS),
            "what becomes of changes that cannot be judged; default closed",
        ),
        optional(
            "unenforceable",
            Kind::Words(Unenforceable::WORDS),
            "what becomes of rules that this deployment cannot enforce; default refuse",
        ),
        optional(
            "clientOverride",
            Kind::Words(ClientOverride::WORDS),
            "whether plugins may change what the client gave; default security",
        ),
        optional(
            "unconfinedMeans",
            Kind::Words(UnconfinedMeans::WORDS),
            "what the client means by an unconfined seccomp profile; default explicit",
        ),
        optional(
            "assumedBase",
            Kind::Name,
            "file with the seccomp policy that `tighten` compares with where the engine passes none",
        ),
        optional(
            "securityProfileEditRule",
            Kind::Words(EditRule::WORDS),
            "the key `seccomp` of every level without it",
        ),
        optional("defaultLevel", Kind::Name, "the level of plugins that no identity matches"),
        optional("scope", Kind::Object(&SCOPE), "which containers the policy is about; default all"),
        optional("identities", Kind::List(&Kind::Object(&IDENTITY)), "who plugins are"),
        optional("levels", Kind::List(&Kind::Object(&LEVEL)), "what plugins may do"),
        optional(
            "invariants",
            Kind::List(&Kind::Invariant),
            "what must hold of the end result, whoever caused it",
        ),
        optional(
            "require",
            Kind::List(&Kind::Object(&REQUIRE)),
            "plugins without which no container is created",
        ),
        optional("limits", Kind::Object(&LIMITS), "how much one answer may hold"),
        later("conditions", "CEL over every change that the level allowed"),
        later("params", "values for conditions"),
        later("repeat", "quarantine after violations"),
        later("provenance", "an annotation that says who changed what"),
        later("audit", "what is recorded"),
    ],
};

/// A document of the kind `PluginPolicyTest`.
pub(crate) static TEST_DOCUMENT: Shape = Shape {
    name: "a document of tests",
    members: &[
        required("apiVersion", Kind::Any, "policy.nri-rs/v1alpha1"),
        required("kind", Kind::Any, "PluginPolicyTest"),
        required("metadata", Kind::Object(&METADATA), "what the tests are called"),
        required("spec", Kind::Object(&TESTS), "the tests"),
    ],
};

static TESTS: Shape = Shape {
    name: "`spec`",
    members: &[
        optional(
            "policies",
            Kind::List(&Kind::Name),
            "policies, relative to this file; default every one beside it",
        ),
        required("tests", Kind::List(&Kind::Object(&TEST)), "what is tried"),
    ],
};

static TEST: Shape = Shape {
    name: "a test",
    members: &[
        required("name", Kind::Name, "what it shows"),
        required("input", Kind::Any, "a line of `nri replay`"),
        required("expect", Kind::Object(&EXPECT), "what it compares"),
    ],
};

static EXPECT: Shape = Shape {
    name: "`expect`",
    members: &[
        optional(
            "outcome",
            Kind::Words(&["unchanged", "adjusted", "rejected", "failed"]),
            "the decision's outcome",
        ),
        optional("error", Kind::Text, "the error's kind"),
        optional(
            "refused",
            Kind::List(&Kind::Any),
            "a set of refusals, each by the members that it names; empty: none",
        ),
    ],
};

static SCOPE: Shape = Shape {
    name: "`scope`",
    members: &[
        optional("namespaces", Kind::Object(&NAMESPACES), "the pod's namespace"),
        optional("labels", Kind::Labels, "labels that the pod must have"),
    ],
};

static NAMESPACES: Shape = Shape {
    name: "`namespaces`",
    members: &[
        optional("include", GLOBS, "one must match; default all"),
        optional("exclude", GLOBS, "none may match; default none"),
    ],
};

static IDENTITY: Shape = Shape {
    name: "an identity",
    members: &[
        required("name", Kind::Name, "the identity's name in decisions"),
        required("level", Kind::Name, "the level that it has"),
        required("match", Kind::Object(&MATCH), "facts that must hold together"),
        optional("priority", Kind::Integer, "the highest wins where several match; default 0"),
        optional(
            "reserve",
            Kind::List(&Kind::Name),
            "plugin names, without index, that nobody else may register",
        ),
    ],
};

static MATCH: Shape = Shape {
    name: "a `match`",
    members: &[
        optional("anyOf", Kind::List(&Kind::Object(&MATCH)), "alternatives, of which one must hold"),
        optional("pluginName", Kind::Glob, "the name it registers; proves nothing"),
        optional("index", Kind::Index, "the index it registers; proves nothing"),
        optional("listener", Kind::Glob, "the name of the socket it uses"),
        optional("peer", Kind::Object(&PEER), "the process that connected; never a launched plugin"),
        optional("pod", Kind::Object(&POD), "the container that the process runs in"),
        optional("launched", Kind::Object(&LAUNCHED), "the file that we launched"),
        later("key", "a challenge that the plugin signs"),
        later("verity", "the file system's digest of the file"),
        later("exeVerity", "the file system's digest of the executable"),
    ],
};

static PEER: Shape = Shape {
    name: "`peer`",
    members: &[
        optional("uid", Kind::Ids, "its user"),
        optional("gid", Kind::Ids, "its group"),
        optional("groups", Kind::Ids, "its supplementary groups"),
        optional("exe", Kind::PathGlob, "its executable, if it sees our file system"),
        optional("exeSha256", Kind::Digest, "the executable's digest"),
        optional("label", Kind::Text, "its SELinux or AppArmor label"),
        optional("systemdUnit", Kind::Glob, "its systemd unit"),
        optional("cgroup", Kind::Glob, "its cgroup"),
        later("exeVerity", "the file system's digest of the executable"),
    ],
};

static POD: Shape = Shape {
    name: "`pod`",
    members: &[
        optional("namespace", Kind::Glob, "the pod's namespace"),
        optional("name", Kind::Glob, "the pod's name"),
        optional("labels", Kind::Labels, "labels that the pod must have; its author's word"),
        optional("container", Kind::Glob, "the container's name"),
        optional("imageDigest", Kind::Digest, "digest of the container's image"),
    ],
};

static LAUNCHED: Shape = Shape {
    name: "`launched`",
    members: &[
        optional("path", Kind::PathGlob, "the file, links resolved"),
        optional("sha256", Kind::Digest, "its digest"),
        later("verity", "the file system's digest of the file"),
        later("execFrom", "from where it is executed"),
    ],
};

static LEVEL: Shape = Shape {
    name: "a level",
    members: &[
        required("name", Kind::Name, "the level's name"),
        optional("extends", Kind::Name, "a level whose fields and updates are taken over, key by key"),
        optional(
            "requireProof",
            Kind::Words(Proof::WORDS),
            "how well an identity must be proven to have it; default weak",
        ),
        optional(
            "mayOverrideClient",
            Kind::Bool,
            "whether it may change what the client gave; default false",
        ),
        MODE,
        ON_VIOLATION,
        optional(
            "fields",
            Kind::Rules,
            "a rule for each field, group or `*`; the most specific decides, what none covers is denied",
        ),
        optional("updates", Kind::Object(&UPDATES), "which updates are granted; what is missing is denied"),
    ],
};

static UPDATES: Shape = Shape {
    name: "`updates`",
    members: &[
        optional("self", Kind::Grant(&GRANT), "of the container of an UpdateContainer request"),
        optional(
            "others",
            Kind::Grant(&GRANT),
            "of other containers, in answers to CreateContainer and UpdateContainer",
        ),
        optional("onStop", Kind::Grant(&GRANT), "in answers to StopContainer"),
        optional("sync", Kind::Grant(&GRANT), "in answers to Synchronize"),
        optional("unsolicited", Kind::Grant(&GRANT), "in calls of the plugin's"),
        optional("evict", Kind::Grant(&GRANT), "evictions"),
    ],
};

static GRANT: Shape = Shape {
    name: "a grant of updates",
    members: &[optional("targets", Kind::Object(&TARGETS), "which containers"), MODE, ON_VIOLATION, ID],
};

static TARGETS: Shape =
    Shape { name: "`targets`", members: &[optional("namespaces", GLOBS, "namespaces of their pods")] };

static REQUIRE: Shape = Shape {
    name: "an entry of `require`",
    members: &[
        required("plugin", Kind::Name, "an identity of this policy, else a plugin's name"),
        optional("meaning", Kind::Words(Meaning::WORDS), "what it must have done; default answered"),
        optional(
            "fields",
            Kind::List(&Kind::Field),
            "with `owns`: fields whose changes must have been applied",
        ),
        optional("namespaces", Kind::Object(&NAMESPACES), "where it must be there"),
        optional("tolerate", Kind::Object(&TOLERATE), "which pods may go without it"),
        optional("graceAfterBoot", Kind::Duration, "for how long after boot it may be missing"),
    ],
};

static TOLERATE: Shape = Shape {
    name: "`tolerate`",
    members: &[
        required("annotation", Kind::Name, "the annotation that asks for it"),
        optional("namespaces", GLOBS, "where the annotation counts; without them nowhere"),
    ],
};

static LIMITS: Shape = Shape {
    name: "`limits`",
    members: &[
        optional("changesPerContainer", Kind::Amount, "changes of one container in an answer; default 256"),
        optional("updatesPerSecond", Kind::Amount, "unsolicited updates of a plugin in a second; default 50"),
        optional("responseBytes", Kind::Amount, "bytes of an answer; default 1Mi"),
    ],
};
