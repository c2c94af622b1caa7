//! The table of codes (`policy.md` 14): what each means, for people.

use std::fmt;
use std::str::FromStr;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The policy does not load.
    Error,
    /// It loads, and probably does something else than was meant.
    Warning,
}

/// What is known of a code.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Info {
    /// The code.
    pub code: Code,
    /// Its name, `E021`.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What it means and what to do, in sentences.
    pub explanation: &'static str,
}

macro_rules! codes {
    ($($code:ident, $title:literal, $explanation:literal;)*) => {
        /// A kind of diagnostic. `E…` are errors, `W…` are warnings.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $title] $code,)*
        }

        /// Every code, in order.
        pub const CODES: &[Info] = &[$(Info {
            code: Code::$code,
            name: stringify!($code),
            title: $title,
            explanation: $explanation,
        },)*];

        impl Code {
            /// What is known of the code.
            #[must_use]
            pub const fn info(self) -> Info {
                match self {
                    $(Self::$code => Info {
                        code: self,
                        name: stringify!($code),
                        title: $title,
                        explanation: $explanation,
                    },)*
                }
            }
        }
    };
}

codes! {
    E010, "not owned by root, or writable by others",
        "Who can write a policy can lift the lock. Its file must belong to root or to the user who loads it, and nobody else may be able to write it. \
         `chown root FILE; chmod go-w FILE`.";
    E011, "duplicate key",
        "A mapping has the same key twice. Readers of YAML disagree about which one counts, so none does here. Remove one of them.";
    E012, "alias, anchor, merge key or tag",
        "`&name`, `*name`, `<<` and `!tag` make the text that is read differ from the text that is seen. They are not read in policies. Write the value out, or \
         use `extends` between levels.";
    E013, "not YAML",
        "The text cannot be read from this place on. JSON is fine too. A file has at most 1 MiB and 256 documents, and at most 64 lists and mappings within each other.";
    E020, "unknown kind or version",
        "The documents read here have `apiVersion: policy.nri-rs/v1alpha1` and the kind `PluginPolicy` or `PluginPolicyTest`. A newer version needs a newer `nri`.";
    E021, "unknown field or key",
        "A member that is not known, or that does not belong at this place. A rule that nobody reads protects nothing, so it is an error.";
    E022, "unknown set, preset or invariant",
        "`@NAME` names a built-in set of the field, `preset/NAME@v1` a built-in policy, `invariants` lists built-in checks. `nri policy presets` and \
         `nri policy explain @NAME` show what there is.";
    E023, "required member missing",
        "Something cannot be judged without this member. The message says which one is missing, and of what.";
    E024, "value of the wrong type, or not one of the allowed words",
        "The value has another type than this member needs, or is not one of the words that it knows.";
    E030, "bad glob",
        "`*` is any run of characters and `?` one. In paths neither matches `/`, and `**` stands alone between slashes, for any number of segments. There are no \
         brackets, braces or escapes.";
    E031, "bad quantity",
        "A number is decimal, with `k M G T` or `Ki Mi Gi Ti`; where a bound allows it, `requested`, `host` or a percentage such as `\"50%\"`.";
    E032, "bound impossible",
        "The bound can never be met or means nothing here: `min` above `max`, `host` for a field of which the host has no limit, or a bound for a field without numbers.";
    E040, "unknown level",
        "`level`, `defaultLevel` and a level's `extends` name a level of the same policy, or of the preset that it extends.";
    E041, "cyclic `extends`",
        "A level extends itself, directly or through others. Each needs a beginning.";
    E042, "duplicate name",
        "Two identities or two levels of a policy, or two loaded policies, have the same name. Decisions name rules by these, so they must differ.";
    E043, "ambiguous identities",
        "Two identities match exactly the same plugins with the same priority and give different levels. Such a plugin would get `defaultLevel`. Give one a higher \
         `priority`, or remove it.";
    E044, "proof too weak",
        "The level asks for more proof than the identity's `match` can ever give. Strong are `launched` with `sha256` and `pod` with `imageDigest`; `pluginName` and \
         `index` are weak; all else is medium. With `anyOf` the weakest alternative counts.";
    E050, "CEL does not parse or type",
        "An expression has a syntax or type error.";
    E060, "rule not enforceable here",
        "This deployment cannot enforce the rule. Change the deployment, or say `unenforceable: report` to load it and see the gap in every decision.";
    E061, "not built yet",
        "The policy uses something that this version of `nri` does not have. It is an error so that nobody relies on a rule that nothing enforces.";
    E070, "expired exception",
        "The exception's time is over; it lifts nothing any more. Remove it.";
    W101, "everything allowed without proof",
        "`\"*\": allow` stands in a level that a plugin reaches without proving anything: the `defaultLevel`, or the level of an identity that is matched by name alone. \
         Any process that can connect may then change everything.";
    W102, "hooks allowed without a digest",
        "A hook is a program that runs on the host as root. Without `sha256` the rule says where it lies, not what it is.";
    W103, "scope by label only",
        "The policy holds for pods with certain labels, which the pod's author chooses. Name namespaces too.";
    W104, "toleration by pod annotation without namespaces",
        "Any pod's author can set an annotation. A toleration needs `namespaces`; without them it never holds.";
    W105, "uncovered namespace",
        "No loaded policy has this namespace in its scope. There `--on-missing-policy` decides, which allows by default.";
    W106, "file replaces or masks another",
        "A file of the same name in a directory of higher rank is read instead of this one.";
    W107, "more than one `defaultLevel`",
        "Several loaded policies say what an unknown plugin may do. Policies are intersected: only what all of them allow remains.";
    W111, "device by path only",
        "A device is its type and number, not its path: a plugin can give any device this name. Use `host` or `number`.";
    W112, "CDI devices without `expand`",
        "The file behind a CDI name may add hooks, mounts and variables. Without `expand` it is not opened, and what it adds is not judged.";
    W113, "annotations allowed without denying `@runtime-control`",
        "Some annotations steer OCI runtimes: they replace the seccomp policy, load shared objects or set systemd properties. Deny the set `@runtime-control`.";
    W121, "key-only identity",
        "A key alone can be relayed or stolen. Combine it with `peer`, `pod` or `launched`.";
    W122, "name-only identity",
        "A plugin chooses its name and index itself; they prove nothing. Combine them with `peer`, `pod`, `launched` or `listener`.";
    W123, "executable on a file system without verity, writable by its own pod",
        "The file can be replaced by those whom the identity means to tell apart.";
    W131, "mount source writable by non-root",
        "A user other than root can put a link where the checked source was, between check and mount.";
    W132, "mount source without `resolve`",
        "Without `resolve` the path is compared as it is written, and a link in it leads elsewhere. `resolve: no-symlinks` or `resolve: real` looks at the host.";
    W141, "CEL where a field rule would do",
        "A rule of the field says the same and is judged faster.";
    W151, "exception expires soon",
        "The exception will lift nothing any more from its date on.";
    W152, "exception never used",
        "No recorded decision needed the exception.";
}

impl Code {
    /// The name, `E021`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// Whether it is an error or a warning.
    #[must_use]
    pub fn severity(self) -> Severity {
        if self.name().starts_with('E') { Severity::Error } else { Severity::Warning }
    }
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(name: &str) -> Result<Self, UnknownCode> {
        CODES
            .iter()
            .find(|info| info.name.eq_ignore_ascii_case(name))
            .map(|info| info.code)
            .ok_or(UnknownCode)
    }
}

/// No code has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCode;

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("find a diagnostic of this name")
    }
}

impl std::error::Error for UnknownCode {}
