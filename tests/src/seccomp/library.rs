//! libseccomp, driven as runc, crun and youki drive it (`spec/seccomp.md` 1.1).
//!
//! It is loaded when it is asked for, so that the tests build where it is absent. It may loop for ever (hazard A): ask
//! it through [`super::compiler`].

#![expect(unsafe_code, reason = "libseccomp is a C library")]

use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::AsRawFd as _;

use rustix::fs::{MemfdFlags, memfd_create};
use serde_json::Value;

/// Whose way of loading a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Before 1.2.
    OldRunc,
    /// 1.2 and later: a binary tree for more than 32 names. Without its stub, which is not libseccomp's.
    Runc,
    /// Reads six conditions of a rule.
    Crun,
    /// Swaps the operands of `MASKED_EQ`.
    Youki,
}

impl Driver {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OldRunc, Self::Runc, Self::Crun, Self::Youki];

    /// Its program.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OldRunc => "runc 1.1",
            Self::Runc => "runc",
            Self::Crun => "crun",
            Self::Youki => "youki",
        }
    }
}

/// `struct scmp_arg_cmp`
#[repr(C)]
struct Comparison {
    arg: c_uint,
    op: c_int,
    a: u64,
    b: u64,
}

type Filter = *mut c_void;

macro_rules! library {
    ($($name:ident: fn($($arg:ty),*) -> $result:ty,)*) => {
        /// The functions of libseccomp that runtimes call.
        pub struct Library {
            $($name: unsafe extern "C" fn($($arg),*) -> $result,)*
        }

        impl Library {
            /// Loads it.
            ///
            /// # Errors
            /// Where it is absent: what to install.
            pub fn load() -> Result<Self, &'static str> {
                const ABSENT: &str = "libseccomp is absent; install the package libseccomp2";
                // SAFETY: loading libseccomp runs no code that asks for anything.
                let handle = unsafe { libc::dlopen(c"libseccomp.so.2".as_ptr(), libc::RTLD_NOW) };
                if handle.is_null() {
                    return Err(ABSENT);
                }
                $(
                    let name = concat!(stringify!($name), "\0");
                    // SAFETY: the name ends with a zero.
                    let symbol = unsafe { libc::dlsym(handle, name.as_ptr().cast()) };
                    if symbol.is_null() {
                        return Err(ABSENT);
                    }
                    // SAFETY: seccomp.h declares the function with this type.
                    let $name = unsafe {
                        std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($arg),*) -> $result>(symbol)
                    };
                )*
                Ok(Self { $($name,)* })
            }
        }
    };
}

library! {
    seccomp_init: fn(u32) -> Filter,
    seccomp_release: fn(Filter) -> (),
    seccomp_arch_resolve_name: fn(*const c_char) -> u32,
    seccomp_arch_native: fn() -> u32,
    seccomp_arch_add: fn(Filter, u32) -> c_int,
    seccomp_arch_remove: fn(Filter, u32) -> c_int,
    seccomp_attr_set: fn(Filter, c_int, u32) -> c_int,
    seccomp_syscall_resolve_name: fn(*const c_char) -> c_int,
    seccomp_syscall_resolve_name_arch: fn(u32, *const c_char) -> c_int,
    seccomp_rule_add_array: fn(Filter, u32, c_int, c_uint, *const Comparison) -> c_int,
    seccomp_export_bpf: fn(Filter, c_int) -> c_int,
}

/// `SCMP_FLTATR_CTL_OPTIMIZE`
const OPTIMIZE: c_int = 8;
/// `__NR_SCMP_ERROR`
const UNKNOWN: c_int = -1;

/// A filter that is given back.
struct Context<'a>(&'a Library, Filter);

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `seccomp_init`, given back once.
        unsafe { (self.0.seccomp_release)(self.1) }
    }
}

impl Library {
    /// The token of an architecture (`SCMP_ARCH_X86`): `AUDIT_ARCH_…` but for x32. `None` where this version does not know it.
    #[must_use]
    pub fn token(&self, arch: &str) -> Option<u32> {
        let name = CString::new(arch.strip_prefix("SCMP_ARCH_")?.to_lowercase()).ok()?;
        // SAFETY: a string that ends with a zero.
        let token = unsafe { (self.seccomp_arch_resolve_name)(name.as_ptr()) };
        (token != 0).then_some(token)
    }

    /// The number of a syscall on an architecture. `None` where it has none; `knows` tells why.
    #[must_use]
    pub fn number(&self, arch: &str, name: &str) -> Option<u32> {
        let (token, name) = (self.token(arch)?, CString::new(name).ok()?);
        // SAFETY: a string that ends with a zero.
        u32::try_from(unsafe { (self.seccomp_syscall_resolve_name_arch)(token, name.as_ptr()) }).ok()
    }

    /// Whether this version knows the name of a syscall, on whatever architecture.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.resolve(name).is_some()
    }

    fn resolve(&self, name: &str) -> Option<c_int> {
        let name = CString::new(name).ok()?;
        // SAFETY: a string that ends with a zero.
        let number = unsafe { (self.seccomp_syscall_resolve_name)(name.as_ptr()) };
        (number != UNKNOWN).then_some(number)
    }

    /// The bytes of the program for a policy on a machine with the native architecture `native`.
    ///
    /// # Errors
    /// What libseccomp refused, and with which number.
    pub fn compile(&self, policy: &Value, native: &str, driver: Driver) -> Result<Vec<u8>, String> {
        let default = action(policy, "defaultAction", "defaultErrnoRet")?;
        // SAFETY: no pointers.
        let context = Context(self, unsafe { (self.seccomp_init)(default) });
        if context.1.is_null() {
            return Err(format!("default action {default:#x}"));
        }
        self.add_architectures(&context, policy, native)?;
        let names = list(policy, "syscalls").iter().map(|entry| list(entry, "names").len()).sum::<usize>();
        if driver == Driver::Runc && names > 32 {
            // SAFETY: a filter of ours.
            check("binary tree", unsafe { (self.seccomp_attr_set)(context.1, OPTIMIZE, 2) })?;
        }
        for entry in list(policy, "syscalls") {
            let action = action(entry, "action", "errnoRet")?;
            if action == default {
                continue;
            }
            let rules = rules(entry, driver)?;
            for name in list(entry, "names").iter().filter_map(Value::as_str) {
                let Some(number) = self.resolve(name) else { continue };
                for rule in &rules {
                    let count = c_uint::try_from(rule.len()).map_err(|_| "many conditions")?;
                    // SAFETY: a filter of ours, and as many comparisons as it says.
                    let result = unsafe {
                        (self.seccomp_rule_add_array)(context.1, action, number, count, rule.as_ptr())
                    };
                    check(&format!("rule for {name}"), result)?;
                }
            }
        }
        let file = memfd_create("program", MemfdFlags::CLOEXEC).map_err(|error| error.to_string())?;
        let mut file = File::from(file);
        // SAFETY: a filter of ours and an open descriptor.
        check("export", unsafe { (self.seccomp_export_bpf)(context.1, file.as_raw_fd()) })?;
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    /// The native one is in from the start. For another machine it is taken out, as if the library ran there.
    fn add_architectures(&self, context: &Context<'_>, policy: &Value, native: &str) -> Result<(), String> {
        // SAFETY: no pointers.
        let own = unsafe { (self.seccomp_arch_native)() };
        if self.token(native) != Some(own) {
            // SAFETY: a filter of ours.
            check("taking out the native architecture", unsafe {
                (self.seccomp_arch_remove)(context.1, own)
            })?;
        }
        let listed = list(policy, "architectures").iter().filter_map(Value::as_str);
        for arch in std::iter::once(native).chain(listed) {
            let token = self.token(arch).ok_or_else(|| format!("{arch} is unknown"))?;
            // SAFETY: a filter of ours.
            match unsafe { (self.seccomp_arch_add)(context.1, token) } {
                EXISTS => {}
                // Of the other byte order, which a machine can have no calls of.
                result if arch != native && result < 0 => {}
                result => check(arch, result)?,
            }
        }
        Ok(())
    }
}

/// `-EEXIST`
const EXISTS: c_int = -17;

fn check(what: &str, result: c_int) -> Result<(), String> {
    if result < 0 { Err(format!("{what}: {result}")) } else { Ok(()) }
}

/// A list that may be absent or null.
fn list<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object[key].as_array().map_or(&[], Vec::as_slice)
}

/// The action as libseccomp's word: the number of ERRNO and TRACE in its lower half.
fn action(object: &Value, key: &str, number: &str) -> Result<u32, String> {
    let number = u32::try_from(object[number].as_u64().unwrap_or(1)).map_err(|_| "number")? & 0xffff;
    Ok(match object[key].as_str().unwrap_or_default() {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | number,
        "SCMP_ACT_NOTIFY" => 0x7fc0_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | number,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        other => return Err(format!("action {other:?}")),
    })
}

/// The rules of an entry: one, or one for each condition where two are on the same argument.
fn rules(entry: &Value, driver: Driver) -> Result<Vec<Vec<Comparison>>, String> {
    let conditions = list(entry, "args");
    let read = if driver == Driver::Crun { conditions.len().min(6) } else { conditions.len() };
    let mut all = Vec::new();
    for condition in &conditions[..read] {
        let op = condition["op"].as_str().unwrap_or_default();
        let names = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
        let at = names.iter().position(|name| op.strip_prefix("SCMP_CMP_") == Some(name));
        let at = at.ok_or_else(|| format!("operator {op:?}"))?;
        let number = |key: &str| condition[key].as_u64().unwrap_or(0);
        let (mut a, mut b) = (number("value"), number("valueTwo"));
        if driver == Driver::Youki && op == "SCMP_CMP_MASKED_EQ" {
            std::mem::swap(&mut a, &mut b);
        }
        let arg = c_uint::try_from(number("index")).map_err(|_| "index")?;
        all.push(Comparison { arg, op: c_int::try_from(at + 1).map_err(|_| "operator")?, a, b });
    }
    let twice = (1..all.len()).any(|at| all[..at].iter().any(|other| other.arg == all[at].arg));
    Ok(if twice { all.into_iter().map(|one| vec![one]).collect() } else { vec![all] })
}
