//! Reload of the access files while the server runs.
//!
//! New lists hold from the next request on, and no connection notices. If a file is unreadable or has a wrong entry,
//! the old lists stay in force and one line says so. A typo must neither end a server nor open it.

use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::Duration;

use smol::Timer;
use smol::channel::{self, Sender};
use smol::future::FutureExt;
use smol::stream::{Stream, StreamExt};
use smolcast::{AccessControl, AccessSettings, BindError};

use crate::access_files::AccessFiles;
use crate::systemd::Manager;

/// Deadline for reading the files, so that a disk that hangs does not block later reloads.
const DEADLINE: Duration = Duration::from_secs(10);

type Read = Result<AccessSettings, String>;

/// A thread that reads the files, because the disk may be slow. It is there from the start: later the system might have
/// none left.
#[derive(Debug)]
pub(crate) struct Reader {
    /// `None` if there are no files.
    requests: Option<SyncSender<Sender<Read>>>,
}

impl Reader {
    /// Starts the thread, if there are files to read.
    ///
    /// # Errors
    ///
    /// The system allows no further thread.
    pub(crate) fn start(files: AccessFiles) -> Result<Self, BindError> {
        if !files.have_files() {
            return Ok(Self { requests: None });
        }
        // A request may wait while the thread is held up by an earlier one.
        let (requests, waiting) = mpsc::sync_channel::<Sender<Read>>(1);
        let read = move || {
            for reply in waiting {
                // Nobody waits any more if it took too long.
                let _ = reply.try_send(files.read());
            }
        };
        thread::Builder::new().name("smolcast-files".to_owned()).spawn(read).map_err(BindError::Thread)?;
        Ok(Self { requests: Some(requests) })
    }

    /// Reads the files; `None` if there are none.
    async fn read(&self) -> Option<Read> {
        let requests = self.requests.as_ref()?;
        let (reply, read) = channel::bounded(1);
        let late = || Err(format!("the lists could not be read within {DEADLINE:?}"));
        if requests.try_send(reply).is_err() {
            return Some(late());
        }
        let read = async { read.recv().await.unwrap_or_else(|_| late()) };
        let deadline = async {
            Timer::after(DEADLINE).await;
            late()
        };
        Some(read.or(deadline).await)
    }
}

/// Reads the files again at each request; never ends.
pub(crate) async fn reload_on_request(
    requests: impl Stream<Item = ()>,
    reader: Reader,
    access_control: AccessControl,
    manager: &Manager,
) {
    let mut requests = std::pin::pin!(requests);
    while requests.next().await.is_some() {
        manager.reloading();
        reload(&reader, &access_control).await;
        manager.ready();
    }
    // The end of the requests must not end the server.
    std::future::pending::<()>().await;
}

async fn reload(reader: &Reader, access_control: &AccessControl) {
    match reader.read().await {
        None => {}
        Some(Ok(access)) => access_control.replace(access),
        Some(Err(error)) => log::warn!("{error}; the old lists stay in force"),
    }
}
