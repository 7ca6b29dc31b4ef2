//! Reload of the access files while the server runs.
//!
//! New lists hold from the next request on, and no connection notices. If a file is unreadable or has a wrong entry,
//! the old lists stay in force and one line says so. A typo must neither end a server nor open it.

use std::time::Duration;

use smol::Timer;
use smol::future::FutureExt;
use smol::stream::{Stream, StreamExt};
use smolcast::AccessControl;

use crate::access_files::AccessFiles;
use crate::systemd::Manager;

/// Deadline for reading the files, so that a disk that hangs does not block later reloads.
const DEADLINE: Duration = Duration::from_secs(10);

/// Reads the files again at each request; never ends.
pub(crate) async fn reload_on_request(
    requests: impl Stream<Item = ()>,
    files: AccessFiles,
    access_control: AccessControl,
    manager: &Manager,
) {
    let mut requests = std::pin::pin!(requests);
    while requests.next().await.is_some() {
        manager.reloading();
        reload(&files, &access_control).await;
        manager.ready();
    }
    // The end of the requests must not end the server.
    std::future::pending::<()>().await;
}

async fn reload(files: &AccessFiles, access_control: &AccessControl) {
    if !files.have_files() {
        return;
    }
    let files = files.clone();
    // On a thread of its own, because the disk may be slow.
    let read = smol::unblock(move || files.read());
    let late = async {
        Timer::after(DEADLINE).await;
        Err(format!("the lists could not be read within {DEADLINE:?}"))
    };
    match read.or(late).await {
        Ok(access) => access_control.replace(access),
        Err(error) => log::warn!("{error}; the old lists stay in force"),
    }
}
