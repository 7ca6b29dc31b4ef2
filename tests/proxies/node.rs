//! A browser with many tabs: Node, with one HTTP/2 session and a stream for each tab.

use std::collections::VecDeque;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use support::Folder;

use crate::PATIENCE;
use crate::certificate::NAME;
use crate::child::Spoken;
use crate::proxy::Proxy;

/// Prints the number of a tab and a line of its stream. The second tab is closed after its first event.
const SCRIPT: &str = r#"
import { connect } from "node:http2";
import { readFileSync } from "node:fs";
const [port, certificate, host, tabs] = process.argv.slice(2);
const session = connect(`https://${host}:${port}`, {
  ca: readFileSync(certificate),
  lookup: (name, options, found) =>
    options.all ? found(null, [{ address: "127.0.0.1", family: 4 }]) : found(null, "127.0.0.1", 4),
});
session.on("connect", () => console.log(`connected by ${session.alpnProtocol}`));
for (let tab = 0; tab < Number(tabs); tab++) {
  const stream = session.request({ ":path": "/sse", accept: "text/event-stream" });
  let text = "";
  stream.setEncoding("utf8");
  stream.on("response", (head) => console.log(`${tab} status ${head[":status"]}`));
  stream.on("data", (piece) => {
    const lines = (text + piece).split("\n");
    text = lines.pop();
    for (const line of lines.filter((line) => line)) console.log(`${tab} ${line}`);
    if (tab === 1 && lines.some((line) => line.startsWith("data:"))) stream.close();
  });
  stream.on("error", (error) => console.log(`${tab} error ${error.message}`));
}
"#;

pub(crate) fn is_here() -> bool {
    let output = Command::new("node").arg("--version").stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

/// The tab that closes its stream at its first event.
pub(crate) const CLOSES: usize = 1;

/// A running browser. Its drop ends it.
pub(crate) struct Tabs {
    node: Spoken,
    count: usize,
    /// The part of a line that has arrived.
    text: String,
    lines: VecDeque<String>,
    /// Holds the script.
    _folder: Folder,
}

impl Tabs {
    /// Opens the proxy in `count` tabs.
    #[track_caller]
    pub(crate) fn open(proxy: &Proxy, count: usize) -> Self {
        let folder = Folder::new();
        let script = folder.path("tabs.mjs");
        fs::write(&script, SCRIPT).expect("the folder is new");
        let mut command = Command::new("node");
        command.arg(script).arg(proxy.port().to_string()).arg(proxy.certificate()).args([NAME, &count.to_string()]);
        Self { node: Spoken::start(&mut command), count, text: String::new(), lines: VecDeque::new(), _folder: folder }
    }

    /// Holds that the next line is this one.
    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// Holds that these tabs say this next, in any order.
    #[track_caller]
    pub(crate) fn expect_of_each(&mut self, line: &str, is_one: impl Fn(usize) -> bool) {
        let of_one = |tab: usize| format!("{tab} {line}");
        self.expect_in_any_order((0..self.count).filter(|tab| is_one(*tab)).map(of_one).collect());
    }

    /// Holds that the next lines are these, in any order.
    #[track_caller]
    pub(crate) fn expect_in_any_order(&mut self, mut expected: Vec<String>) {
        let mut said: Vec<_> = expected.iter().map(|_| self.line()).collect();
        expected.sort_unstable();
        said.sort_unstable();
        assert_eq!(said, expected);
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.lines.pop_front() {
                return line;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let (_, piece) = self.node.pieces.recv_timeout(left).expect("Node says more within the deadline");
            self.text.push_str(std::str::from_utf8(&piece).expect("it is ASCII"));
            let rest = self.text.rfind('\n').map_or(0, |end| end + 1);
            let rest = self.text.split_off(rest);
            let whole = std::mem::replace(&mut self.text, rest);
            self.lines.extend(whole.lines().map(str::to_owned));
        }
    }
}
