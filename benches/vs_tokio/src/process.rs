//! The kernel's figures of a process: CPU time, memory, descriptors; and the network's SYN retries.
//!
//! CPU time comes from two files, since neither is enough. `schedstat` is exact to the nanosecond but has no split.
//! `stat` splits user from system by the timer ticks, a sample of a hundred a second, cut to 10 ms. So the total is
//! schedstat's, divided as stat says. A thread that ended takes its schedstat with it, but stays in stat: then stat's
//! total is larger by more than the cut explains, and is taken.

use std::fs;
use std::process;

use anyhow::{Context, Result};
use procfs::process::Process;
use procfs::{Current, Meminfo, ProcResult, page_size, ticks_per_second};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};

/// The excess of a difference of two `stat` readings, in ticks: one for user time, one for system time, and as much
/// again for a schedstat that is read a moment later.
const CUT_TICKS: f64 = 4.0;

/// CPU time in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl Cpu {
    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }
}

/// The counters of one moment; two of them make a [`Cpu`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuCounters {
    /// From schedstat, in nanoseconds.
    run_time: u64,
    user_ticks: u64,
    system_ticks: u64,
}

impl CpuCounters {
    pub(crate) fn of(processes: &[u32]) -> Result<Self> {
        let mut sum = Self::default();
        for &process in processes {
            sum.add(process).with_context(|| format!("reading the CPU time of process {process}"))?;
        }
        Ok(sum)
    }

    pub(crate) fn of_this_process() -> Result<Self> {
        Self::of(&[process::id()])
    }

    pub(crate) fn since(self, earlier: Self) -> Cpu {
        let user = self.user_ticks.saturating_sub(earlier.user_ticks) as f64;
        let system = self.system_ticks.saturating_sub(earlier.system_ticks) as f64;
        let exact = self.run_time.saturating_sub(earlier.run_time) as f64 / 1e3;
        let tick = 1e6 / ticks_per_second() as f64;
        let by_ticks = (user + system) * tick;
        let total = if by_ticks > exact + CUT_TICKS * tick { by_ticks } else { exact };
        let user_share = user / (user + system).max(1.0);
        Cpu { user: total * user_share, system: total * (1.0 - user_share) }
    }

    fn add(&mut self, process: u32) -> Result<()> {
        let process = open(process)?;
        let stat = process.stat()?;
        self.user_ticks += stat.utime;
        self.system_ticks += stat.stime;
        // A thread may end between the listing and the reading.
        let run_times = process.tasks()?.flatten().filter_map(|task| task.schedstat().ok());
        self.run_time += run_times.map(|times| times.sum_exec_runtime).sum::<u64>();
        Ok(())
    }
}

/// `root` and all its descendants: a server may be several processes.
pub(crate) fn family(root: u32) -> Vec<u32> {
    let parent = |process: ProcResult<Process>| {
        let stat = process.and_then(|process| process.stat()).ok()?;
        Some((stat.pid.unsigned_abs(), stat.ppid.unsigned_abs()))
    };
    let parents: Vec<(u32, u32)> = procfs::process::all_processes().into_iter().flatten().filter_map(parent).collect();
    let mut family = vec![root];
    let mut grown = 0;
    while let Some(&elder) = family.get(grown) {
        family.extend(parents.iter().filter(|&&(_, parent)| parent == elder).map(|&(process, _)| process));
        grown += 1;
    }
    family
}

/// Kills a process and all its descendants.
pub(crate) fn kill_family(root: u32) {
    kill(&family(root));
}

/// Kills all that this process has started, and what those have started.
pub(crate) fn kill_descendants() {
    kill(&family(process::id())[1..]);
}

/// Kills the youngest first. Those that have ended are as good as killed.
fn kill(processes: &[u32]) {
    for process in processes.iter().rev().filter_map(|process| Pid::from_raw(i32::try_from(*process).ok()?)) {
        let _ = kill_process(process, Signal::KILL);
    }
}

/// Resident bytes, from `smaps_rollup`: the `VmRSS` of `/proc/PID/status` is kept for each CPU apart and may lag by
/// hundreds of kilobytes, which is much when divided by idle streams.
pub(crate) fn resident_bytes(processes: &[u32]) -> Result<u64> {
    let resident = |process: &Process| {
        let maps = process.smaps_rollup()?.memory_map_rollup;
        Ok(maps.0.iter().filter_map(|map| map.extension.map.get("Rss")).sum())
    };
    sum(processes, resident).context("reading the resident memory of the server")
}

/// Open descriptors.
pub(crate) fn descriptors(processes: &[u32]) -> Result<u64> {
    sum(processes, |process| Ok(process.fd_count()? as u64)).context("counting the descriptors of the server")
}

/// The most resident bytes that each process had at one time, summed.
pub(crate) fn peak_resident_bytes(processes: &[u32]) -> Result<u64> {
    let peak = |process: &Process| Ok(1024 * process.status()?.vmhwm.unwrap_or(0));
    sum(processes, peak).context("reading the peak memory of the server")
}

/// The kernel's memory for all of its TCP sockets, both ends where both are here: queued bytes and, among all else in
/// slabs, the sockets themselves. Only differences mean something.
pub(crate) fn kernel_network_bytes() -> Result<u64> {
    let path = "/proc/net/sockstat";
    let text = fs::read_to_string(path).context(path)?;
    let tcp = text.lines().find_map(|line| line.strip_prefix("TCP:")).unwrap_or_default();
    let pages = tcp.split_whitespace().skip_while(|word| *word != "mem").nth(1).and_then(|word| word.parse().ok());
    let pages: u64 = pages.with_context(|| format!("{path} has no memory of TCP"))?;
    Ok(pages * page_size() + Meminfo::current().context("reading /proc/meminfo")?.slab)
}

/// The CPU time of the calling thread, in nanoseconds.
pub(crate) fn this_thread_run_time() -> Result<u64> {
    let path = "/proc/thread-self/schedstat";
    let text = fs::read_to_string(path).context(path)?;
    text.split(' ').next().and_then(|word| word.parse().ok()).with_context(|| format!("{path} is not as in proc(5)"))
}

/// The number of SYNs that this network namespace has sent again since it began.
pub(crate) fn syn_retries() -> Result<u64> {
    let path = "/proc/net/netstat";
    let text = fs::read_to_string(path).context(path)?;
    let mut rows = text.lines().filter_map(|row| row.strip_prefix("TcpExt:")).map(str::split_whitespace);
    let (names, values) = (rows.next().into_iter().flatten(), rows.next().into_iter().flatten());
    let found = names.zip(values).find(|&(name, _)| name == "TCPSynRetrans");
    found.and_then(|(_, value)| value.parse().ok()).with_context(|| format!("{path} has no TCPSynRetrans"))
}

/// Lets this process, and those it starts, hold as many descriptors as the system allows; returns that number.
pub(crate) fn raise_descriptor_limit() -> Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("raising the descriptor limit")?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

fn open(process: u32) -> ProcResult<Process> {
    Process::new(i32::try_from(process).unwrap_or(-1))
}

fn sum(processes: &[u32], figure: impl Fn(&Process) -> ProcResult<u64>) -> ProcResult<u64> {
    processes.iter().map(|process| figure(&open(*process)?)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_looked_at() {
        let own = [process::id()];
        let (resident, peak) =
            (resident_bytes(&own).expect("smaps_rollup"), peak_resident_bytes(&own).expect("status"));
        assert!((1 << 20..1 << 30).contains(&resident) && peak > resident / 2, "{resident} of {peak} bytes");
        assert!(descriptors(&own).expect("fd") > 2 && kernel_network_bytes().expect("sockstat and meminfo") > 0);
        let before = this_thread_run_time().expect("schedstat");
        while this_thread_run_time().expect("schedstat") == before {}
    }

    #[test]
    fn the_time_that_a_process_runs_is_seen() {
        let mut busy = process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("a shell");
        let before = CpuCounters::of(&[busy.id()]).expect("schedstat");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let spent = || CpuCounters::of(&[busy.id()]).expect("schedstat").since(before).total();
        while spent() < 20_000.0 {
            assert!(std::time::Instant::now() < deadline, "it runs, and {} us of it were seen", spent());
        }
        kill_family(busy.id());
        busy.wait().expect("a child");
    }

    #[test]
    fn a_family_is_all_that_descend() {
        let mut shell = process::Command::new("sh");
        shell.args(["-c", "sleep 60 & echo; wait; exit 1"]).stdout(process::Stdio::piped());
        let mut child = shell.spawn().expect("a shell");
        let mut line = [0];
        std::io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut line).expect("the shell's line");
        let family = family(child.id());
        assert_eq!(family.len(), 2, "the shell and what it started: {family:?}");
        kill_family(child.id());
        assert!(!child.wait().expect("a child").success());
    }
}
