//! The machine and the build behind the figures. A fact that cannot be learned is `unknown`: no reason to fail.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::SystemTime;

use procfs::{CpuInfo, Current, Meminfo};
use rustix::process::{Resource, getrlimit};
use rustix::system::uname;
use serde::Serialize;

const LOCK: &str = include_str!("../../../../Cargo.lock");
const MANIFEST: &str = include_str!("../../../../Cargo.toml");

/// The crates that a server is mainly made of.
const PEERS: [&str; 7] = ["smolcast", "smol", "tokio", "hyper", "axum", "actix-web", "async-broadcast"];

/// The settings that decide how many bytes a socket takes before its writer waits.
const SETTINGS: [&str; 3] = ["net.core.somaxconn", "net.ipv4.tcp_wmem", "net.ipv4.tcp_rmem"];

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// The moment of the report, in UTC.
    pub(crate) date: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    /// True if the CPU is a virtual machine's: then other machines may take its time.
    pub(crate) virtual_machine: bool,
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    pub(crate) build: String,
    /// The versions of what the servers are made of.
    pub(crate) crates: BTreeMap<String, String>,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) descriptor_limit: Option<u64>,
}

impl Machine {
    pub(crate) fn of_this() -> Self {
        let cpu = CpuInfo::current().ok();
        let flags = cpu.as_ref().and_then(|cpu| cpu.flags(0)).unwrap_or_default();
        let model = cpu.as_ref().and_then(|cpu| cpu.model_name(0));
        let system = uname();
        let kernel = [system.sysname(), system.release(), system.machine()].map(|part| part.to_string_lossy());
        Self {
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            cpu: model.unwrap_or("unknown").to_owned(),
            cores: thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: Meminfo::current().map_or(0, |memory| memory.mem_total),
            virtual_machine: flags.contains(&"hypervisor"),
            kernel: kernel.join(" "),
            rustc: env!("BUILD_RUSTC").to_owned(),
            build: build(),
            crates: PEERS.iter().filter_map(|name| Some(((*name).to_owned(), version(LOCK, name)?))).collect(),
            settings: SETTINGS.iter().map(|name| ((*name).to_owned(), setting(name))).collect(),
            descriptor_limit: getrlimit(Resource::Nofile).current,
        }
    }
}

fn setting(name: &str) -> String {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    let text = fs::read_to_string(path).unwrap_or_else(|_| "unknown".to_owned());
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The compiler's settings.
fn build() -> String {
    let profile = env!("BUILD_PROFILE");
    let mut parts = vec![format!("{profile} for {}: opt-level = {}", env!("BUILD_TARGET"), env!("BUILD_OPT_LEVEL"))];
    let section = MANIFEST.split_once(&format!("[profile.{profile}]")).map_or("", |(_, section)| section);
    let lines = section.lines().skip(1).take_while(|line| !line.starts_with('['));
    parts.extend(lines.filter(|line| line.contains('=')).map(str::to_owned));
    match env!("BUILD_FLAGS") {
        "" => parts.push("no RUSTFLAGS".to_owned()),
        flags => parts.push(format!("RUSTFLAGS {flags}")),
    }
    parts.join(", ")
}

/// The version in a `Cargo.lock`; the newest where there are several, which are sorted there.
fn version(lock: &str, name: &str) -> Option<String> {
    let start = format!("name = \"{name}\"\nversion = \"");
    lock.rsplit_once(&start)?.1.split('"').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        let hyper = |version| format!("name = \"hyper\"\nversion = \"{version}\"\n\n");
        let lock = &format!("{}{}name = \"hyper-util\"\n", hyper("0.14.1"), hyper("1.2.3"));
        assert_eq!(version(lock, "hyper").as_deref(), Some("1.2.3"));
        assert_eq!(version(lock, "axum"), None);
        assert!(version(LOCK, "tokio").is_some_and(|version| version.starts_with("1.")));
    }

    #[test]
    fn this_machine_is_known() {
        let machine = Machine::of_this();
        assert!(machine.cores > 0 && machine.memory_bytes > 0, "{machine:?}");
        assert!(
            machine.date.starts_with("20")
                && machine.rustc.starts_with("rustc ")
                && machine.build.contains("opt-level"),
            "{machine:?}"
        );
        assert!(machine.kernel.starts_with("Linux "), "{machine:?}");
        assert_eq!(machine.crates.len(), PEERS.len(), "{machine:?}");
    }
}
