//! Reading the filters of a live process with ptrace: seized, stopped for as long as it takes to copy them, let go.
//!
//! The process is never killed and never stays stopped. Nothing is asked of the kernel that would end it with us
//! (`PTRACE_O_EXITKILL`), and whatever becomes of this thread, the kernel lets go of what it traces when it ends; so the
//! work is done in a thread of its own.
#![expect(unsafe_code, reason = "ptrace and waitpid have no safe form; every block says why it is sound")]

use std::ffi::{c_int, c_long, c_void};
use std::io;
use std::ptr::null_mut;
use std::time::{Duration, Instant};

use nri_seccomp::bpf::{INSTRUCTIONS_MAX, Instruction};

/// How long a process may take to stop. One that waits for a device may not stop at all.
const STOP: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_micros(200);

/// The kernel keeps 32,768 instructions at most for one process.
const FILTERS_MAX: usize = 8192;

/// What `libc::ptrace` takes.
#[cfg(target_env = "musl")]
type Request = c_int;
#[cfg(not(target_env = "musl"))]
type Request = std::ffi::c_uint;

// linux/ptrace.h; not all of them are in libc for every target.
const SEIZE: Request = 0x4206;
const INTERRUPT: Request = 0x4207;
const GET_FILTER: Request = 0x420c;
const GET_METADATA: Request = 0x420d;
const DETACH: Request = 17;
const EVENT_STOP: c_int = 128;
/// `SECCOMP_FILTER_FLAG_LOG`, the only flag that the kernel tells.
const FLAG_LOG: u64 = 2;

/// A filter as it was installed.
pub(super) struct Filter {
    pub(super) instructions: Vec<Instruction>,
    /// Whether every answer but ALLOW is recorded; `None` where the kernel does not say.
    pub(super) log: Option<bool>,
}

/// What was read while the process stood still.
pub(super) struct Read {
    /// The one installed last comes first.
    pub(super) filters: Vec<Filter>,
    /// `/proc/PID/status` of that moment.
    pub(super) status: String,
}

/// What stands in the way.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No such process, or it ended meanwhile.
    Gone,
    /// It must not be traced by us, or somebody else traces it.
    NotOurs(io::Error),
    /// It did not stop in time.
    DoesNotStop,
    /// Filters may be read by a process with CAP_SYS_ADMIN that is under no filter itself.
    Forbidden,
    /// The kernel was built without `CONFIG_CHECKPOINT_RESTORE`.
    Unsupported,
    /// A filter that the kernel does not hand out.
    Withheld(usize),
    /// Anything else.
    Failed(io::Error),
}

/// Reads the filters of a thread; none if it is not under any.
pub(super) fn read(pid: i32) -> Result<Read, Trouble> {
    std::thread::scope(|scope| {
        let work = std::thread::Builder::new().name("ptrace".into()).spawn_scoped(scope, || {
            let stopped = Stopped::new(pid)?;
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(Trouble::Failed)?;
            let filters =
                if super::status::Status::of(&status).filtered() { stopped.filters()? } else { Vec::new() };
            Ok(Read { filters, status })
        });
        let done = work.map_err(Trouble::Failed)?.join();
        done.unwrap_or_else(|_| Err(Trouble::Failed(io::Error::other("the tracing thread failed"))))
    })
}

/// A thread that stands still because we asked for it. Dropping it lets it go on.
struct Stopped {
    pid: i32,
    /// A signal that it was about to get when it stopped, or 0.
    signal: c_int,
}

impl Stopped {
    fn new(pid: i32) -> Result<Self, Trouble> {
        request(SEIZE, pid, 0, null_mut()).map_err(|error| match error.raw_os_error() {
            Some(libc::ESRCH) => Trouble::Gone,
            Some(libc::EPERM | libc::EACCES | libc::EBUSY) => Trouble::NotOurs(error),
            _ => Trouble::Failed(error),
        })?;
        // From here on the kernel lets go of it when this thread ends, whatever happens.
        request(INTERRUPT, pid, 0, null_mut()).map_err(or_gone)?;
        let end = Instant::now() + STOP;
        loop {
            let mut status: c_int = 0;
            // SAFETY: waitpid writes one int, to a local that outlives the call.
            let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL | libc::WNOHANG) };
            match waited {
                0 if Instant::now() < end => std::thread::sleep(PAUSE),
                0 => return Err(Trouble::DoesNotStop),
                -1 => return Err(or_gone(io::Error::last_os_error())),
                _ if libc::WIFSTOPPED(status) => {
                    // Any other stop is the delivery of a signal, which must not be lost.
                    let signal = if status >> 16 == EVENT_STOP { 0 } else { libc::WSTOPSIG(status) };
                    return Ok(Self { pid, signal });
                }
                _ => return Err(Trouble::Gone),
            }
        }
    }

    /// The kernel counts from the oldest filter.
    fn filters(&self) -> Result<Vec<Filter>, Trouble> {
        let mut filters = Vec::new();
        while let Some(filter) = self.filter(filters.len())? {
            filters.push(filter);
            if filters.len() > FILTERS_MAX {
                return Err(Trouble::Failed(io::Error::other(
                    "the process has more filters than a kernel keeps",
                )));
            }
        }
        filters.reverse();
        Ok(filters)
    }

    fn filter(&self, index: usize) -> Result<Option<Filter>, Trouble> {
        let len = match request(GET_FILTER, self.pid, index, null_mut()) {
            Ok(len) => usize::try_from(len).unwrap_or(0),
            Err(error) => {
                return match error.raw_os_error() {
                    Some(libc::ENOENT) => Ok(None),
                    Some(libc::EACCES) => Err(Trouble::Forbidden),
                    Some(libc::EIO) => Err(Trouble::Unsupported),
                    Some(libc::EMEDIUMTYPE) => Err(Trouble::Withheld(index)),
                    _ => Err(or_gone(error)),
                };
            }
        };
        if len > INSTRUCTIONS_MAX {
            return Err(Trouble::Withheld(index));
        }
        let mut words = vec![libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; INSTRUCTIONS_MAX];
        let copied = request(GET_FILTER, self.pid, index, words.as_mut_ptr().cast()).map_err(or_gone)?;
        if usize::try_from(copied).ok() != Some(len) {
            return Err(Trouble::Withheld(index));
        }
        words.truncate(len);
        let instructions = words
            .iter()
            .map(|word| Instruction { code: word.code, jt: word.jt, jf: word.jf, k: word.k })
            .collect();
        Ok(Some(Filter { instructions, log: self.log(index) }))
    }

    fn log(&self, index: usize) -> Option<bool> {
        #[repr(C)]
        struct Metadata {
            filter_off: u64,
            flags: u64,
        }
        let mut metadata = Metadata { filter_off: u64::try_from(index).ok()?, flags: 0 };
        let size = size_of::<Metadata>();
        let read = request(GET_METADATA, self.pid, size, (&raw mut metadata).cast()).ok()?;
        (usize::try_from(read) == Ok(size)).then_some(metadata.flags & FLAG_LOG != 0)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let signal = usize::try_from(self.signal).unwrap_or_default();
        // It fails only if the process has ended, or will by a signal; then there is nobody to let go.
        let let_go = request(DETACH, self.pid, 0, std::ptr::without_provenance_mut(signal));
        if let Err(error) = let_go {
            tracing::debug!("detaching from {}: {error}", self.pid);
        }
    }
}

fn or_gone(error: io::Error) -> Trouble {
    match error.raw_os_error() {
        Some(libc::ESRCH | libc::ECHILD) => Trouble::Gone,
        _ => Trouble::Failed(error),
    }
}

/// One request. `data` is null, a number in the place of a pointer (DETACH), or memory for the answer: room for
/// [`INSTRUCTIONS_MAX`] instructions (GET_FILTER), or as many bytes as `address` says (GET_METADATA).
fn request(request: Request, pid: i32, address: usize, data: *mut c_void) -> io::Result<c_long> {
    let address: *mut c_void = std::ptr::without_provenance_mut(address);
    // SAFETY: none of the five requests that this file makes writes to our memory but the two that read a filter and its
    // metadata, and `data` is null there or points to a live buffer as large as the kernel can fill. What they do to the
    // other process is what they are for.
    let result = unsafe { libc::ptrace(request, pid, address, data) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
