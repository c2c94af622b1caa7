//! Independent oracles for seccomp: random policies, libseccomp, an interpreter of what it emits, a solver.
//!
//! Nothing here asks `nri-seccomp` for an answer; policies are plain JSON and answers are what a filter returns.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`policies`] | random policies, edits of real ones, calls that hit their values |
//! | [`profiles`] | the default profiles of Docker, containerd, Podman and CRI-O |
//! | [`library`] | libseccomp, driven as runc, crun and youki drive it |
//! | [`compiler`] | the same in a process of its own: libseccomp may never come back |
//! | [`bpf`] | an interpreter |
//! | [`filter`] | what stands in a container, and its decision graphs |
//! | [`install`] | programs under filters of our own |
//! | [`installed`] | filters of live processes |
//! | [`order`] | which change of an answer loosens |
//! | [`solver`] | z3, asked about pairs of programs |

pub mod bpf;
pub mod compiler;
pub mod filter;
pub mod install;
pub mod installed;
pub mod library;
pub mod order;
pub mod policies;
pub mod profiles;
pub mod solver;
