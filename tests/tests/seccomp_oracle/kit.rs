//! What the tests share: how much, which policies, which calls.

use nri_seccomp::syscall;
use nri_seccomp::term::Arch;
use nri_tests::random::Random;
use nri_tests::seccomp::bpf::Call;
use nri_tests::seccomp::compiler::{Compiled, Compiler};
use nri_tests::seccomp::filter::Filter;
use nri_tests::seccomp::library::{Driver, Library};
use nri_tests::seccomp::policies::{self, Calls, HOSTS};
use serde_json::Value;

/// `n` times what the environment says.
pub(crate) fn times(n: usize) -> usize {
    let factor = std::env::var("NRI_ORACLE_FACTOR").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    n * factor
}

/// The random numbers of a test.
pub(crate) fn random(test: u64) -> Random {
    let seed: u64 = std::env::var("NRI_ORACLE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    Random(seed.wrapping_mul(1000).wrapping_add(test))
}

/// libseccomp, in this process for names and in another for programs.
pub(crate) struct Oracle {
    pub(crate) library: Library,
    compiler: Compiler,
}

impl Oracle {
    /// Says so and gives nothing where libseccomp is absent.
    pub(crate) fn start() -> Option<Self> {
        let compiler = Compiler::start()?;
        Library::load().ok().map(|library| Self { library, compiler })
    }

    /// A machine that this version of libseccomp knows. Mostly the usual one.
    pub(crate) fn host(&self, random: &mut Random) -> &'static [&'static str] {
        let host = if random.once_in(3) { *random.pick(HOSTS) } else { HOSTS[0] };
        if host.iter().all(|arch| self.library.token(arch).is_some()) { host } else { HOSTS[0] }
    }

    /// Calls that hit the values of these policies. Numbers are libseccomp's, but for the direct ones of calls that are
    /// also behind `socketcall` or `ipc`, which it does not tell.
    pub(crate) fn calls(&self, policies: &[&Value], host: &[&str]) -> Calls {
        let direct =
            |arch: &str, name: &str| arch.parse().ok().and_then(|arch: Arch| syscall::number(arch, name));
        let number = |arch: &str, name: &str| self.library.number(arch, name).or_else(|| direct(arch, name));
        Calls::new(policies, host, |arch| self.library.token(arch), number)
    }

    /// The filter for a policy (null: none), without runc's stub.
    pub(crate) fn filter(
        &mut self,
        policy: &Value,
        host: &[&str],
        driver: Driver,
    ) -> Result<Filter, Compiled> {
        if policy.is_null() {
            return Ok(Filter::default());
        }
        match self.compiler.compile(policy, host[0], driver) {
            Compiled::Program(program) => Ok(Filter { program: Some(program), ..Filter::default() }),
            other => Err(other),
        }
    }
}

/// All that is worth asking about a pair: every architecture with every number.
pub(crate) fn points(calls: &Calls) -> Vec<(u32, u32)> {
    calls.points().iter().flat_map(|(arch, numbers)| numbers.iter().map(|nr| (*arch, *nr))).collect()
}

/// A pair of policies that have something to do with each other.
pub(crate) fn pair(random: &mut Random, host: &[&str]) -> (Value, Value) {
    let old = policies::policy(random, host);
    let new = match random.below(16) {
        0 | 1 => policies::policy(random, host),
        2 => Value::Null,
        _ => policies::edited(random, &old, host),
    };
    if random.once_in(2) { (old, new) } else { (new, old) }
}

/// A call at one of these points.
pub(crate) fn call(random: &mut Random, calls: &Calls, points: &[(u32, u32)]) -> Call {
    let (arch, nr) = *random.pick(points);
    Call { arch, nr, args: calls.arguments(random) }
}
