//! What can be changed while the server runs: who is let in.
//!
//! One value for all shards, read once for each request and replaced as a whole, so that no request is judged by half
//! of the old and half of the new. Readers take no lock and wait for nobody.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Access;

/// A handle on what can be changed while a server runs. Cheap to clone, and usable from any thread.
///
/// ```
/// use smolcast::{Access, Config, Server};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::bind(Config::on(([127, 0, 0, 1], 0)))?;
/// let settings = server.settings();
/// // Later, from anywhere: only who shows the token may publish from now on.
/// settings.replace(Access { publish_tokens: vec!["dGhlIHNlY3JldA==".parse()?], ..Access::default() });
/// assert_eq!(settings.access().publish_tokens.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Settings(Arc<ArcSwap<Access>>);

impl Settings {
    pub(crate) fn new(access: Access) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(access)))
    }

    /// Lets in whom this lets in, from the next request on. A request whose head has been read goes on, and so does
    /// every open stream.
    pub fn replace(&self, access: Access) {
        self.0.store(Arc::new(access));
    }

    /// Who is let in now.
    pub fn access(&self) -> Arc<Access> {
        self.0.load_full()
    }

    /// Has `look` look at who is let in. What is looked at cannot be kept, so that no wait holds an old value.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Access) -> T) -> T {
        look(&self.0.load())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_handle_sees_what_one_has_replaced() {
        let settings = Settings::new(Access::default());
        let (other, before) = (settings.clone(), settings.access());
        assert!(other.read(|access| access.allows_host(Some(b"evil.example"))));
        settings.replace(Access { hosts: vec!["example.com".parse().expect("a host")], ..Access::default() });
        assert!(!other.read(|access| access.allows_host(Some(b"evil.example"))));
        assert_eq!((other.access().hosts.len(), before.hosts.len()), (1, 0));
    }
}
