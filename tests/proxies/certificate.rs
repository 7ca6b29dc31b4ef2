//! A certificate that is valid for a day, made by openssl.

use std::fs;
use std::process::{Command, Stdio};

use support::Folder;

/// The host name in the files of `deploy/`.
pub(crate) const NAME: &str = "events.example.com";

/// A self-signed certificate, with a key of the kind that is made fastest.
const WORDS: [&str; 10] =
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj"];

/// True if openssl runs here.
pub(crate) fn can_be_made() -> bool {
    Command::new("openssl").arg("version").stdin(Stdio::null()).output().is_ok()
}

/// Makes `cert.pem`, `key.pem`, and both in `cert-and-key.pem`.
#[track_caller]
pub(crate) fn make(folder: &Folder) {
    let mut command = Command::new("openssl");
    command.args(WORDS).arg(format!("/CN={NAME}")).arg("-addext").arg(format!("subjectAltName=DNS:{NAME}"));
    command.arg("-keyout").arg(folder.path("key.pem")).arg("-out").arg(folder.path("cert.pem"));
    let output = command.stdin(Stdio::null()).output().expect("openssl runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let read = |name| fs::read(folder.path(name)).expect("openssl has made it");
    fs::write(folder.path("cert-and-key.pem"), [read("cert.pem"), read("key.pem")].concat()).expect("it is ours");
}
