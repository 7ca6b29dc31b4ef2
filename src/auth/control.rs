//! Access settings that can be replaced while the server runs.
//!
//! One value for all shards, read once for each request and replaced as a whole. So no request is authorized by half of
//! the old and half of the new settings. Readers take no lock and never wait.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::AccessSettings;

/// Handle to the access settings of a running server. Cheap to clone, and usable from any thread.
///
/// ```
/// use smolcast::{AccessSettings, Config, Server};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::bind(Config::on(([127, 0, 0, 1], 0)))?;
/// let access = server.access_control();
/// // Later, from anywhere: from now on only publishers with this token are accepted.
/// let mut settings = AccessSettings::default();
/// settings.publish_tokens.push("dGhlIHNlY3JldA==".parse()?);
/// access.replace(settings);
/// assert_eq!(access.settings().publish_tokens.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AccessControl(Arc<ArcSwap<AccessSettings>>);

impl AccessControl {
    pub(crate) fn new(settings: AccessSettings) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(settings)))
    }

    /// Replaces the settings from the next request on. Open streams, and requests whose head was read, go on.
    pub fn replace(&self, settings: AccessSettings) {
        self.0.store(Arc::new(settings));
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<AccessSettings> {
        self.0.load_full()
    }

    /// Reads the settings. The closure cannot keep them, so no wait holds an old value.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&AccessSettings) -> T) -> T {
        read(&self.0.load())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_handle_sees_replaced_settings() {
        let control = AccessControl::new(AccessSettings::default());
        let (other, before) = (control.clone(), control.settings());
        control.replace(AccessSettings { hosts: vec!["example.com".parse().expect("a host")], ..Default::default() });
        assert_eq!((other.read(|settings| settings.hosts.len()), before.hosts.len()), (1, 0));
    }
}
