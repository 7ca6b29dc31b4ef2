//! What the kernel counts of a process: CPU time, resident memory; and the network's SYN retries.
//!
//! CPU time comes from two files, since neither is enough. `/proc/PID/task/*/schedstat` is exact to
//! the nanosecond but knows no split; `/proc/PID/stat` splits user from system, but by which of the
//! two a timer tick met, and cut to 10 ms. So the total is schedstat's, divided as stat says. A
//! thread that ended takes its schedstat with it, but stays in stat: then stat's total is larger
//! by more than the cut explains, and is taken.

use std::fs;
use std::process;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};

use anyhow::{Context, Result, anyhow};

/// By how many ticks a difference of two `stat` readings may be too large: one for user time, one
/// for system time, and as much again for a schedstat that is read a moment later.
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
            sum.add(process).context(format!("reading the CPU time of process {process}"))?;
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
        let tick = 1e6 / clock_ticks_per_second() as f64;
        let by_ticks = (user + system) * tick;
        let total = match by_ticks > exact + CUT_TICKS * tick {
            true => by_ticks,
            false => exact,
        };
        let user_share = user / (user + system).max(1.0);
        Cpu { user: total * user_share, system: total * (1.0 - user_share) }
    }

    fn add(&mut self, process: u32) -> Result<()> {
        let stat = Stat::of(process)?;
        self.user_ticks += stat.user_ticks;
        self.system_ticks += stat.system_ticks;
        for task in fs::read_dir(format!("/proc/{process}/task")).context("listing threads")? {
            let path = task.context("listing threads")?.path().join("schedstat");
            // A thread may end between the listing and the reading.
            let text = fs::read_to_string(path).unwrap_or_default();
            self.run_time += number(text.split(' ').next()).unwrap_or(0);
        }
        Ok(())
    }
}

/// `root` and all that descend from it: a server may be several processes.
pub(crate) fn family(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> =
        all_processes().filter_map(|process| Some((process, Stat::of(process).ok()?.parent))).collect();
    let mut family = vec![root];
    let mut grown = 0;
    while let Some(&elder) = family.get(grown) {
        let children = parents.iter().filter(|&&(_, parent)| parent == elder);
        family.extend(children.map(|&(process, _)| process));
        grown += 1;
    }
    family
}

/// Kills a process and all that descend from it, the youngest first. Those that are gone by now are as good as killed.
pub(crate) fn kill_family(root: u32) {
    for process in family(root).into_iter().rev() {
        if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

/// Resident bytes, from `smaps_rollup`: the `VmRSS` of `/proc/PID/status` is kept for each CPU
/// apart and may lag by hundreds of kilobytes, which is much when divided by idle streams.
pub(crate) fn resident_bytes(processes: &[u32]) -> Result<u64> {
    let mut sum = 0;
    for process in processes {
        sum += kibibytes(&format!("/proc/{process}/smaps_rollup"), "Rss:")?;
    }
    Ok(sum)
}

/// Open descriptors.
pub(crate) fn descriptors(processes: &[u32]) -> Result<usize> {
    let mut sum = 0;
    for process in processes {
        let path = format!("/proc/{process}/fd");
        sum += fs::read_dir(&path).context(path)?.count();
    }
    Ok(sum)
}

/// The most resident bytes that each process had at one time, summed.
pub(crate) fn peak_resident_bytes(processes: &[u32]) -> Result<u64> {
    let mut sum = 0;
    for process in processes {
        let path = format!("/proc/{process}/status");
        sum += kibibytes(&path, "VmHWM:")?;
    }
    Ok(sum)
}

/// What the kernel holds for all of its TCP sockets, both ends where both are here: queued bytes and, among all else
/// that is in slabs, the sockets themselves. Only differences mean something.
pub(crate) fn kernel_network_bytes() -> Result<u64> {
    let path = "/proc/net/sockstat";
    let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
    let tcp = text.lines().find_map(|line| line.strip_prefix("TCP:"));
    let mut words = tcp.unwrap_or_default().split_whitespace().skip_while(|word| *word != "mem");
    let pages = number(words.nth(1)).ok_or_else(|| anyhow!("{path} tells no memory of TCP"))?;
    Ok(pages * page_size() as u64 + kibibytes("/proc/meminfo", "Slab:")?)
}

/// The CPU time of the calling thread, in nanoseconds.
pub(crate) fn this_thread_run_time() -> Result<u64> {
    let path = "/proc/thread-self/schedstat";
    let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
    number(text.split(' ').next()).ok_or_else(|| anyhow!("{path} is not as proc(5) says"))
}

/// How many SYNs this network namespace has sent again since it began.
pub(crate) fn syn_retries() -> Result<u64> {
    let path = "/proc/net/netstat";
    let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
    let mut rows = text.lines().filter_map(|row| row.strip_prefix("TcpExt:"));
    let names = rows.next().unwrap_or_default().split_whitespace();
    let values = rows.next().unwrap_or_default().split_whitespace();
    let found = names.zip(values).find(|&(name, _)| name == "TCPSynRetrans");
    number(found.map(|(_, value)| value)).ok_or_else(|| anyhow!("{path} has no TCPSynRetrans"))
}

/// Lets this process, and those it starts, hold as many descriptors as the system allows; returns how many that are.
pub(crate) fn raise_descriptor_limit() -> Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("raising the descriptor limit")?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// The fields of `/proc/PID/stat` that matter here.
struct Stat {
    parent: u32,
    user_ticks: u64,
    system_ticks: u64,
}

impl Stat {
    fn of(process: u32) -> Result<Self> {
        let path = format!("/proc/{process}/stat");
        let text = fs::read_to_string(&path).context(path.clone())?;
        Self::parse(&text).ok_or_else(|| anyhow!("{path} is not as proc(5) says"))
    }

    /// Fields are counted behind the program's name, which may hold blanks and parentheses itself.
    fn parse(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            user_ticks: number(fields.get(11).copied())?,
            system_ticks: number(fields.get(12).copied())?,
        })
    }
}

fn all_processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The bytes in the line of a file that begins with `name` and counts in kB.
fn kibibytes(path: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let count = number(line.and_then(|line| line.split_whitespace().next()));
    count.map(|count| 1024 * count).ok_or_else(|| anyhow!("{path} has no line {name}"))
}

fn number(text: Option<&str>) -> Option<u64> {
    text?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_have_any_name() {
        let stat = "7 (a) b (c)) S 3 7 7 0 -1 4194560 100 0 0 0 11 22 0 0 20 0 1 0 5";
        let Stat { parent, user_ticks, system_ticks } = Stat::parse(stat).expect("a stat line");
        assert_eq!((parent, user_ticks, system_ticks), (3, 11, 22));
        assert!(Stat::parse("7 (a").is_none());
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let own = [process::id()];
        let resident = resident_bytes(&own).expect("smaps_rollup");
        assert!(resident > 0 && peak_resident_bytes(&own).expect("status") > 0);
        assert!(kernel_network_bytes().expect("sockstat and meminfo") > 0);
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
        shell.args(["-c", "sleep 60 & echo; wait"]).stdout(process::Stdio::piped());
        let mut child = shell.spawn().expect("a shell");
        let mut line = [0];
        std::io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut line).expect("the shell's line");
        let family = family(child.id());
        assert_eq!(family.len(), 2, "the shell and what it started: {family:?}");
        kill_family(child.id());
        assert!(!child.wait().expect("a child").success());
    }
}
