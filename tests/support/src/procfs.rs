//! The kernel's figures of a process and of its TCP sockets, read from `/proc`: Linux only.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// The kernel's view of one process.
#[derive(Clone, Copy)]
pub struct Observed(u32);

impl Observed {
    /// Observes the process with this id.
    pub fn new(id: u32) -> Self {
        Self(id)
    }

    /// Processor time used, in user space and in the kernel.
    pub fn cpu(self) -> Duration {
        let stat = self.read("stat");
        // The name may hold anything, and ends with the last parenthesis.
        let (_, fields) = stat.rsplit_once(')').expect("the name is in parentheses");
        let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a number"));
        // Linux counts these in hundredths of a second for every architecture.
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    /// Number of open descriptors.
    pub fn descriptors(self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0)).expect("the process is there").count()
    }

    /// The descriptor limit that leaves room for `more`: the numbers of open descriptors may have gaps.
    pub fn limit_for(self, more: usize) -> u64 {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.0)).expect("the process is there");
        let names = folder.map(|entry| entry.expect("an entry can be read").file_name());
        let taken: BTreeSet<u64> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
        (0..).filter(|number| !taken.contains(number)).nth(more).expect("numbers do not end")
    }

    /// Resident memory now, in KiB.
    pub fn resident(self) -> usize {
        self.kib("VmRSS:")
    }

    /// The most resident memory that it ever had, in KiB.
    pub fn peak_resident(self) -> usize {
        self.kib("VmHWM:")
    }

    /// True while a signal has it stopped.
    pub fn is_stopped(self) -> bool {
        let status = self.read("status");
        status.lines().any(|line| line.starts_with("State:") && line.contains('T'))
    }

    /// True if it handles SIGTERM itself.
    pub fn catches_term(self) -> bool {
        let status = self.read("status");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("the system counts signals");
        u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & (1 << (15 - 1)) != 0)
    }

    /// An amount of memory in its status.
    fn kib(self, name: &str) -> usize {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("the system counts memory");
        kib.parse().expect("it counts in digits")
    }

    fn read(self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.0)).expect("the process is there")
    }
}

/// Kernel memory of all TCP sockets, in KiB.
pub fn kernel_tcp_memory() -> usize {
    let text = fs::read_to_string("/proc/net/sockstat").expect("the system counts sockets");
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
    let mut words = line.split(' ').skip_while(|word| *word != "mem").skip(1);
    let pages: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    4 * pages
}
