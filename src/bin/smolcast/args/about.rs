//! What the help and the man page both say beyond the options: the one wording of it.

pub(super) const SUMMARY: &str = "one message to every open browser tab, now";

pub(super) const DESCRIPTION: &str = "A broadcast server: POST /broadcast publishes its body, GET /sse streams what \
     is published as Server-Sent Events, GET /connections counts the open streams.";

pub(super) const PRECEDENCE: &str = "Each option is also read from its variable of the environment. A flag wins over \
     its variable, and a variable over the default; --listen and --unix win over the variables of --host and --port \
     too.";

pub(super) const UNITS: &str = "SIZE is a number of bytes, or takes a suffix k or m (1024 and 1024 x 1024 bytes). TIME \
     is a number of seconds, or takes a suffix ms, s, m or h.";

/// What is told of an option that can be given several times.
pub(super) const SEVERAL: &str = "Takes several, by commas or by giving it again.";

/// What is printed instead of serving: how it is asked for in short, and in full.
pub(super) const PRINTED: [(Option<&str>, &str, &str); 3] = [
    (Some("-h"), "--help", "Print a short help."),
    (Some("-V"), "--version", "Print the version."),
    (None, "--man", "Print the manual page."),
];

pub(super) const EXIT_CODES: [(&str, &str); 3] = [
    ("0", "Ended in order, by SIGTERM or SIGINT."),
    ("1", "Could not listen, or failed."),
    ("2", "Was told what it does not understand, by flags or by a file of hosts, origins or tokens."),
];

pub(super) const EXAMPLE: [&str; 3] =
    ["smolcast &", "curl -N localhost:1942/sse &", "curl -d hello localhost:1942/broadcast"];
