//! The words that members of a policy take (`policy.md` 1 and 6).

pub use crate::rule::{Mode, OnViolation};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$word_doc])* $word,)* }

        impl $name {
            /// The words, in the order of the type.
            pub const WORDS: &[&str] = &[$($text,)*];

            /// The value that a word stands for.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($text => Some(Self::$word),)* _ => None }
            }

            /// The word.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$word => $text,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    )*};
}

words! {
    /// What becomes of a change that cannot be judged.
    FailurePolicy {
        /// It is a violation.
        Closed = "closed",
        /// It passes, as with `warn`.
        Open = "open",
    }
    /// What becomes of a rule that this deployment cannot enforce.
    Unenforceable {
        /// The policy does not load.
        Refuse = "refuse",
        /// It loads, and decisions report the gap.
        Report = "report",
    }
    /// Whether a plugin may change what the client gave.
    ClientOverride {
        /// Not its security context.
        Security = "security",
        /// Nothing of it.
        Honour = "honour",
        /// Nothing of it, but what is at most as much.
        HonourUnlessTighter = "honour-unless-tighter",
        /// The rules alone decide.
        Ignore = "ignore",
    }
    /// What an unconfined seccomp profile of the client's means (F11).
    UnconfinedMeans {
        /// That it was asked for.
        Explicit = "explicit",
        /// That nothing was asked for.
        Unset = "unset",
    }
    /// The top-level short form of a seccomp rule (`policy.md` 5).
    EditRule {
        /// The runtime's default profile alone may be edited.
        RuntimeDefault = "defaultContainerRuntimeSecurityProfileEditsAllowed",
        /// No profile may.
        None = "noSecurityProfileEdits",
        /// Every profile, if the result is at least as restrictive.
        Confinements = "allSecurityProfileConfinementsAllowed",
        /// Every profile, in every way.
        All = "allSecurityProfileEditsAllowed",
    }
    /// How well an identity is proven (`policy.md` 2).
    Proof {
        /// By its own word.
        Weak = "weak",
        /// By facts that others could share.
        Medium = "medium",
        /// By a digest.
        Strong = "strong",
    }
    /// What a required plugin must have done (`policy.md` 7).
    Meaning {
        /// It is in the chain.
        Connected = "connected",
        /// It returned a valid answer in time.
        Answered = "answered",
        /// That, and its changes of the named fields were applied.
        Owns = "owns",
    }
    /// A check of the end result (`policy.md` 7).
    Invariant {
        /// The seccomp policy is at least as restrictive as the client's.
        NoSeccompLoosening = "no-seccomp-loosening",
        /// No namespace of the host's is joined.
        NoHostNamespaceJoin = "no-host-namespace-join",
        /// No runtime's socket is mounted.
        NoRuntimeSocketMount = "no-runtime-socket-mount",
    }
    /// A kind of update, by what the plugin answered (`policy.md` 4).
    UpdateKind {
        /// Of the container of an UpdateContainer request.
        Own = "self",
        /// Of another container, in an answer to CreateContainer or UpdateContainer.
        Others = "others",
        /// In an answer to StopContainer.
        OnStop = "onStop",
        /// In an answer to Synchronize.
        Sync = "sync",
        /// In a call of the plugin's.
        Unsolicited = "unsolicited",
        /// An eviction, wherever it stands.
        Evict = "evict",
    }
}
