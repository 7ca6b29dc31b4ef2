//! Access files that are read anew while the server runs.
//!
//! It has the new ones in force with the next request, and touches no connection. Where a file cannot be read, or holds
//! what is no entry, everything stays as it was, and one line says so: a slip of the pen must neither end a server nor
//! open it.

use std::time::Duration;

use smol::Timer;
use smol::future::FutureExt;
use smol::stream::{Stream, StreamExt};
use smolcast::AccessControl;

use crate::access_files::AccessFiles;
use crate::systemd::Manager;

/// How long reading may take, so that a disk that hangs keeps no later request from being heard.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads the lists anew whenever that is asked for; never ends.
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
    // Requests have no end; one that they had would not be the server's.
    std::future::pending::<()>().await;
}

async fn reload(files: &AccessFiles, access_control: &AccessControl) {
    if !files.have_files() {
        return;
    }
    let files = files.clone();
    // On a thread that may wait: a file may be on a disk that is slow.
    let read = async { smol::unblock(move || files.read()).await.map_err(|error| error.to_string()) };
    let late = async {
        Timer::after(PATIENCE).await;
        Err(format!("the lists could not be read within {PATIENCE:?}"))
    };
    match read.or(late).await {
        Ok(settings) => access_control.replace(settings),
        Err(error) => log::warn!("{error}; who is let in stays as it was"),
    }
}
