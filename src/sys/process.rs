//! What the system knows of this process: its CPU time, memory, descriptors and threads.
//!
//! Read from `/proc` when asked, a few short files each time; where there is none, nothing is known.

use std::fs;

/// The clock ticks in a second, in which the system tells CPU time and starts. Programs have been told 100 since there
/// is `/proc`, whatever the system counts in itself.
const TICKS_IN_A_SECOND: f64 = 100.0;

/// What is known of the process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Process {
    pub(crate) cpu_seconds: f64,
    /// When it began, in seconds since 1970, where it is known when the system did.
    pub(crate) started_at: Option<f64>,
    pub(crate) threads: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) open_descriptors: Option<u64>,
    pub(crate) descriptor_limit: Option<u64>,
}

impl Process {
    /// Asks the system; `None` where it does not tell.
    pub(crate) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // It may be hidden from services (`ProcSubset=pid`).
        let system = fs::read_to_string("/proc/stat").unwrap_or_default();
        let boot = system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        Self::from_stat(&stat, boot, rustix::param::page_size() as u64).map(|known| Self {
            open_descriptors: open_descriptors(),
            descriptor_limit: limit,
            ..known
        })
    }

    /// Reads the line of `/proc/PID/stat` (proc(5)), of a system that began at `boot`.
    fn from_stat(line: &str, boot: Option<f64>, page: u64) -> Option<Self> {
        // The name may hold anything, and ends with the last parenthesis. Behind it stands the third field.
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

/// Newer systems tell it as the folder's size, which spares a walk over all of them.
fn open_descriptors() -> Option<u64> {
    let folder = "/proc/self/fd";
    match fs::metadata(folder).ok()?.len() {
        // One entry is that of the folder itself, which is open to be read.
        0 => Some((fs::read_dir(folder).ok()?.count() as u64).saturating_sub(1)),
        count => Some(count),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_the_name_is() {
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
        assert_eq!(Process::from_stat(line, None, 4096), Some(unknown), "the rest is told all the same");
        assert_eq!(Process::from_stat("7 (x) S 1", Some(0.0), 4096), None);
        assert_eq!(Process::from_stat("", Some(0.0), 4096), None);
    }

    #[test]
    fn this_process_is_known() {
        let process = Process::read().expect("the system tells");
        assert!(process.resident_bytes > 0 && process.threads > 0 && process.started_at > Some(1e9), "{process:?}");
        let (open, limit) =
            (process.open_descriptors.expect("it is told"), process.descriptor_limit.expect("so is it"));
        assert!(3 <= open && open <= limit, "{process:?}");
    }
}
