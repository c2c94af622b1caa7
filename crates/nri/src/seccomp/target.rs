//! For whom a profile with conditions is resolved (`spec/seccomp.md` 4, "Resolution").

use nri_seccomp::profile::{Kernel, Target};
use nri_seccomp::settings::Host;
use nri_seccomp::term::Arch;

/// What a profile with conditions, as Docker and Podman have them, is resolved for
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// A capability that the container has beside Docker's default set; ALL, NONE, or -NAME to take one away (repeat)
    #[arg(
        long = "cap",
        value_name = "NAME",
        allow_hyphen_values = true,
        help_heading = "Profiles with conditions"
    )]
    caps: Vec<String>,
    /// The kernel that it runs on, such as 6.12; default: this one
    #[arg(long, value_name = "VERSION", help_heading = "Profiles with conditions")]
    kernel: Option<Kernel>,
}

impl Options {
    /// The container on a machine whose native ABI this is.
    pub(crate) fn target(&self, native: Arch) -> Target {
        let mut target = Target::new(native);
        target.kernel = self.kernel.or_else(|| rustix::system::uname().release().to_str().ok()?.parse().ok());
        for cap in &self.caps {
            match (cap.strip_prefix('-'), cap.to_ascii_uppercase().as_str()) {
                (Some(cap), _) => target.drop_capability(cap),
                (None, "ALL") => target.add_all_capabilities(),
                (None, "NONE") => target.drop_all_capabilities(),
                (None, cap) => target.add_capability(cap),
            }
        }
        target
    }
}

/// A machine that runs this ABI: this one where it does.
pub(crate) fn host(arch: Arch) -> Host {
    let usual = [Host::this(), Host::x86_64(), Host::aarch64()];
    usual
        .into_iter()
        .find(|host| host.archs().contains(&arch))
        .or_else(|| Host::new([arch]))
        .unwrap_or_else(Host::this)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities() {
        let caps = |words: &[&str]| {
            let caps = words.iter().map(|word| (*word).to_owned()).collect();
            let target = Options { caps, kernel: None }.target(Arch::X86_64);
            ["CAP_CHOWN", "CAP_BPF", "CAP_SYS_ADMIN"].map(|cap| target.has_capability(cap))
        };
        assert_eq!(caps(&[]), [true, false, false]);
        assert_eq!(caps(&["bpf", "-CAP_CHOWN"]), [false, true, false]);
        assert_eq!(caps(&["ALL", "-sys_admin"]), [true, true, false]);
        assert_eq!(caps(&["none", "CAP_BPF"]), [false, true, false]);
    }

    #[test]
    fn hosts() {
        assert_eq!(host(Arch::X32), Host::x86_64());
        assert_eq!(host(Arch::Arm), Host::aarch64());
        assert_eq!(host(Arch::Riscv64).native(), Arch::Riscv64);
    }
}
