//! System calls that fail, and a wall clock that is wrong, at a test's command.
//!
//! `LD_PRELOAD` puts a small C library before the system's own, since every other way would harm the whole machine. It
//! is active while a certain file exists.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use support::measure;

use crate::Program;

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static int told(const char *name) {
    const char *path = getenv(name);
    return path && access(path, F_OK) == 0;
}

/* Fails with FAULT_ERRNO: FAULT_TIMES times, and then while the file FAULT_FILE is there. */
int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    static int (*real)(int, struct sockaddr *, socklen_t *, int);
    static long fault, times;
    if (!real) {
        real = (int (*)(int, struct sockaddr *, socklen_t *, int))dlsym(RTLD_NEXT, "accept4");
        fault = number("FAULT_ERRNO");
        times = number("FAULT_TIMES");
    }
    if (fault && (times > 0 || told("FAULT_FILE"))) {
        times -= times > 0;
        errno = (int)fault;
        return -1;
    }
    return real(fd, address, length, flags);
}

/* A disk: only regular files count, so that sockets and outputs are left alone. */
static int is_file(int fd) {
    struct stat data;
    return fstat(fd, &data) == 0 && S_ISREG(data.st_mode);
}

/* Copies a file that reached the disk to the folder FAULT_SYNCED, under the number of its inode. */
static void keep(int fd) {
    const char *folder = getenv("FAULT_SYNCED");
    struct stat data;
    char from[64], to[4096], piece[65536];
    size_t count;
    if (!folder || fstat(fd, &data) != 0 || !S_ISREG(data.st_mode)) return;
    snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    snprintf(to, sizeof to, "%s/%lu", folder, (unsigned long)data.st_ino);
    FILE *source = fopen(from, "r"), *copy = fopen(to, "w");
    while (source && copy && (count = fread(piece, 1, sizeof piece, source)) > 0) fwrite(piece, 1, count, copy);
    if (source) fclose(source);
    if (copy) fclose(copy);
}

/* While FAULT_FILE is there: sleeps for SYNC_SECONDS, then fails with SYNC_ERRNO. */
static int sync_with(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (told("FAULT_FILE")) {
        sleep((unsigned)number("SYNC_SECONDS"));
        if (number("SYNC_ERRNO")) {
            errno = (int)number("SYNC_ERRNO");
            return -1;
        }
    }
    int outcome = real(fd);
    if (outcome == 0) keep(fd);
    return outcome;
}

int fdatasync(int fd) { return sync_with("fdatasync", fd); }
int fsync(int fd) { return sync_with("fsync", fd); }

/* While FAULT_FILE is there, a file takes WRITE_BYTES of each write, and then fails with WRITE_ERRNO. */
ssize_t write(int fd, const void *bytes, size_t count) {
    static ssize_t (*real)(int, const void *, size_t);
    static int torn;
    if (!real) real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    if (number("WRITE_ERRNO") && told("FAULT_FILE") && is_file(fd)) {
        size_t most = (size_t)number("WRITE_BYTES");
        if (torn || most == 0) {
            torn = 0;
            errno = (int)number("WRITE_ERRNO");
            return -1;
        }
        torn = 1;
        return real(fd, bytes, count < most ? count : most);
    }
    return real(fd, bytes, count);
}

/* While FAULT_FILE is there, no file can be made shorter if TRUNCATE_ERRNO is set. */
int ftruncate64(int fd, off_t length) {
    int (*real)(int, off_t) = (int (*)(int, off_t))dlsym(RTLD_NEXT, "ftruncate64");
    if (number("TRUNCATE_ERRNO") && told("FAULT_FILE")) {
        errno = (int)number("TRUNCATE_ERRNO");
        return -1;
    }
    return real(fd, length);
}

/* While the file FAULT_FILE is there, the wall clock is FAULT_SECONDS behind. */
int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int outcome = real(clock, time);
    if (outcome == 0 && clock == CLOCK_REALTIME && told("FAULT_FILE")) time->tv_sec -= number("FAULT_SECONDS");
    return outcome;
}
"#;

/// The library, and the file that activates it.
pub(crate) struct Shim {
    library: PathBuf,
    file: PathBuf,
}

impl Shim {
    /// Compiles the library; `None`, after a line about it, if this machine cannot.
    pub(crate) fn compile(test: &str) -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("shim-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = |extension: &str| Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{extension}"));
        let shim = Self { library: path("so"), file: path("told") };
        let source = path("c");
        fs::write(&source, SOURCE).expect("the folder for this can be written to");
        let compiler = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&shim.library, &source])
            .stdin(Stdio::null())
            .output();
        fs::remove_file(source).expect("it was just written");
        match compiler {
            Ok(output) if output.status.success() && cfg!(target_env = "gnu") => return Some(shim),
            Ok(output) => measure::skipped(test, String::from_utf8_lossy(&output.stderr)),
            Err(error) => measure::skipped(test, format_args!("no C compiler: {error}")),
        }
        None
    }

    /// Starts the program with the library preloaded; `variables` choose its effect.
    #[track_caller]
    pub(crate) fn start(&self, flags: &[&str], variables: &[(&str, &str)]) -> Program {
        let text = |path: &PathBuf| path.to_str().expect("the path is UTF-8").to_owned();
        let (library, file) = (text(&self.library), text(&self.file));
        let own = [("LD_PRELOAD", library.as_str()), ("FAULT_FILE", file.as_str())];
        Program::start_with(flags, &[&own, variables].concat())
    }

    /// Activates it.
    pub(crate) fn begin(&self) {
        fs::write(&self.file, "").expect("the folder for this can be written to");
    }

    /// Deactivates it.
    pub(crate) fn end(&self) {
        fs::remove_file(&self.file).expect("it had begun");
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        // What remains is a small file in a temporary folder.
        let _ = fs::remove_file(&self.library);
        let _ = fs::remove_file(&self.file);
    }
}
