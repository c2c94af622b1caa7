//! OCI seccomp policies (`linux.seccomp` of an OCI runtime spec): a model that loses nothing, the rules of
//! validity, edits that take effect, and the syscall tables.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`policy`] | the model, from and to JSON |
//! | [`term`] | actions, operators, architectures, flags |
//! | [`profile`] | files: the policy alone, in a `config.json`, or with conditions as Docker and Podman have them |
//! | [`check`] | what runtimes refuse (`spec/seccomp.md` 1.1) |
//! | [`settings`] | how strictly two policies are compared, and on which host |
//! | [`order`] | which answer in place of which other loosens |
//! | [`mod@compare`] | is a policy at least as restrictive as another? |
//! | [`decision`] | decision lists over the arguments of a call |
//! | [`bpf`] | compiled and live filters: the kernel's checks, an interpreter, and a reader into decision lists |
//! | [`mod@merge`] | the policy that allows what two policies both allow |
//! | [`model`] | what a policy means on a host: every call's answer, and where that is not certain |
//! | [`lint`] | what is worth a warning although it is no offence |
//! | [`edit`] | adding, removing, setting and switching rules |
//! | [`digest`] | what a proof about a policy is bound to |
//! | [`outline`] | what a policy says on one ABI, sorted for people |
//! | [`wording`] | answers and conditions for people |
//! | [`constant`] | names of arguments and of their values |
//! | [`danger`] | why a syscall matters |
//! | [`syscall`] | names and numbers on every ABI |
//!
//! Is a new profile at least as restrictive as an old one?
//!
//! ```
//! use nri_seccomp::compare::{Relation, compare};
//! use nri_seccomp::profile::{self, Target};
//! use nri_seccomp::settings::{Host, Settings};
//!
//! let target = Target::this();
//! let old = profile::read(br#"{"defaultAction": "SCMP_ACT_ALLOW"}"#, &target)?;
//! let new = profile::read(br#"{"defaultAction": "SCMP_ACT_LOG"}"#, &target)?;
//! let found = compare(old.as_ref(), new.as_ref(), &Host::this(), &Settings::default());
//! assert_eq!(found.relation, Relation::Tighter);
//! # Ok::<(), nri_seccomp::profile::Unreadable>(())
//! ```
//!
//! Pure: no I/O, and nothing about NRI.
//!
//! ```
//! use nri_seccomp::policy::{Entry, Policy};
//! use nri_seccomp::term::Action;
//! use serde_json::json;
//!
//! let spec = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["mkdir", "read"], "action": "SCMP_ACT_ALLOW"}]});
//! let mut policy = Policy::from_json(&spec)?;
//! policy.set(&[Entry::new(["mkdir"], Action::Log)])?;
//! policy.check()?;
//! assert_eq!(
//!     policy.to_json()["syscalls"],
//!     json!([{"names": ["read"], "action": "SCMP_ACT_ALLOW"}, {"names": ["mkdir"], "action": "SCMP_ACT_LOG"}])
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod bpf;
pub mod check;
pub mod compare;
pub mod constant;
pub mod danger;
pub mod decision;
pub mod digest;
pub mod edit;
pub mod lint;
mod members;
pub mod merge;
pub mod model;
pub mod order;
pub mod outline;
pub mod policy;
pub mod profile;
mod search;
pub mod settings;
pub mod syscall;
pub mod term;
mod word;
pub mod wording;
