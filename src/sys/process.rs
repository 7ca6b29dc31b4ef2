//! Facts about this process: its CPU time, memory, descriptors and threads.
//!
//! Each call reads a few short files of `/proc`. On systems without it, nothing is known.

use std::fs;

/// The unit of CPU time and start times in `/proc`, per second. Linux shows 100 to programs, whatever it counts in.
const TICKS_IN_A_SECOND: f64 = 100.0;

/// The facts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Process {
    pub(crate) cpu_seconds: f64,
    /// The start in seconds since 1970, if the start of the system is known.
    pub(crate) started_at: Option<f64>,
    pub(crate) threads: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) open_descriptors: Option<u64>,
    pub(crate) descriptor_limit: Option<u64>,
}

impl Process {
    /// Reads the facts; `None` on systems that show none.
    pub(crate) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // systemd may hide it from services (`ProcSubset=pid`).
        let system = fs::read_to_string("/proc/stat").unwrap_or_default();
        let boot = system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        Self::from_stat(&stat, boot, rustix::param::page_size() as u64).map(|known| Self {
            open_descriptors: open_descriptors(),
            descriptor_limit: limit,
            ..known
        })
    }

    /// Reads the line of `/proc/PID/stat` (proc(5)). `boot` is the start of the system.
    fn from_stat(line: &str, boot: Option<f64>, page: u64) -> Option<Self> {
        // The name may hold any byte, and ends with the last parenthesis. The third field follows.
        let fields: Vec<&str> = line.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let seconds = |ticks: u64| ticks as f64 / TICKS_IN_A_SECOND;
        Some(Self {
            cpu_seconds: seconds(number(14)? + number(15)?),
            started_at: boot.zip(number(22)).map(|(boot, ticks)| boot + seconds(ticks)),
            threads: number(20)?,
            virtual_bytes: number(23)?,
            resident_bytes: number(24)? * page,
            open_descriptors: None,
            descriptor_limit: None,
        })
    }
}

/// The number of open descriptors. Since Linux 6.2 it is the size of the folder, which spares a walk over it.
fn open_descriptors() -> Option<u64> {
    let folder = "/proc/self/fd";
    match fs::metadata(folder).ok()?.len() {
        // One entry is the folder's own, which is open for this walk.
        0 => Some((fs::read_dir(folder).ok()?.count() as u64).saturating_sub(1)),
        count => Some(count),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn stat_line_is_read_despite_its_name() {
        let line =
            "7 (a) b ) c) S 1 7 7 0 -1 4194560 90 0 0 0 250 50 0 0 20 0 3 0 1200 4096000 25 18446744073709551615 1";
        let known = Process {
            cpu_seconds: 3.0,
            started_at: Some(1012.0),
            threads: 3,
            virtual_bytes: 4_096_000,
            resident_bytes: 102_400,
            open_descriptors: None,
            descriptor_limit: None,
        };
        assert_eq!(Process::from_stat(line, Some(1000.0), 4096), Some(known));
        let unknown = Process { started_at: None, ..known };
        assert_eq!(Process::from_stat(line, None, 4096), Some(unknown), "the rest is known all the same");
        assert_eq!(Process::from_stat("7 (x) S 1", Some(0.0), 4096), None);
        assert_eq!(Process::from_stat("", Some(0.0), 4096), None);
    }

    #[test]
    fn facts_of_this_process_are_known() {
        let process = Process::read().expect("/proc is there");
        assert!(process.resident_bytes > 0 && process.threads > 0 && process.started_at > Some(1e9), "{process:?}");
        let (open, limit) = (process.open_descriptors.expect("a count"), process.descriptor_limit.expect("a limit"));
        assert!(3 <= open && open <= limit, "{process:?}");
    }
}
