//! [`Args`] to a [`Config`], with the checks that need several flags.
//!
//! A flag that needs another one is rejected here, by the name that the operator gave: the flag's or its variable's.

use std::net::{IpAddr, Ipv4Addr};

use smolcast::{Address, Config, HistoryDir, Limits, Token};

use super::Args;
use super::env::Given;
use crate::access_files::AccessFiles;

impl Args {
    /// The configuration, and the access files that add to it, which are not read here.
    pub(super) fn into_config(
        self,
        given: &Given,
        publish_tokens: Vec<Token>,
    ) -> Result<(Config, AccessFiles), String> {
        let mut listen = self.addresses(given)?;
        permit(&mut listen, self.unix_mode, given.name_of("--unix-mode"), "--unix or --listen unix:")?;
        let mut admin = self.admin.clone();
        permit(&mut admin, self.admin_mode, given.name_of("--admin-mode"), "--admin unix:")?;
        let mut config = Config::default();
        config.listen = listen;
        config.admin = admin;
        config.history_dir = self.history_dir(given)?;
        set(&mut config.heartbeat, self.heartbeat);
        self.set_limits(&mut config.limits);
        config.workers = self.workers;
        config.history = self.history;
        config.trusted_proxies = self.trusted_proxy.concat();
        config.access.hosts = self.allow_host.concat();
        config.access.origins = self.allow_origin.concat();
        config.access.publish_tokens = publish_tokens;
        if let (Some(name), None) = (given.name_of("--trusted-proxy"), self.max_connections_per_ip) {
            let error = format!("{name} only affects --max-connections-per-ip: set that as well");
            return Err(error);
        }
        if let (Some(name), false) = (given.name_of("--publish-token-file"), config.access.publish_tokens.is_empty()) {
            let error = format!("{name} and SMOLCAST_PUBLISH_TOKEN both give tokens: give one of the two");
            return Err(error);
        }
        let access_files = AccessFiles {
            typed: config.access.clone(),
            hosts: self.allow_host_file,
            origins: self.allow_origin_file,
            publish_tokens: self.publish_token_file,
        };
        Ok((config, access_files))
    }

    fn set_limits(&self, limits: &mut Limits) {
        limits.connections = self.max_connections;
        limits.connections_per_ip = self.max_connections_per_ip;
        set(&mut limits.body_bytes, self.max_body);
        set(&mut limits.window_bytes, self.max_lag);
        set(&mut limits.head_timeout, self.head_timeout);
        set(&mut limits.body_timeout, self.body_timeout);
        set(&mut limits.idle_timeout, self.idle_timeout);
        set(&mut limits.write_timeout, self.write_timeout);
        set(&mut limits.drain_delay, self.drain_delay);
        set(&mut limits.drain_timeout, self.drain);
    }

    /// The addresses to listen on, in the order of the start line.
    fn addresses(&self, given: &Given) -> Result<Vec<Address>, String> {
        let mut addresses = match (given.name_of("--listen"), name_of_host_or_port(given)) {
            (Some(listen), Some(other)) => {
                return Err(format!("{listen} takes the place of {other}: give one of the two"));
            }
            (Some(_), None) => self.listen.concat(),
            (None, None) if self.unix.is_some() => Vec::new(),
            (None, _) => {
                let host = self.host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
                vec![(host, self.port.unwrap_or(1942)).into()]
            }
        };
        addresses.extend(self.unix.iter().map(Address::unix));
        Ok(addresses)
    }

    fn history_dir(&self, given: &Given) -> Result<Option<HistoryDir>, String> {
        let sync = self.history_sync.unwrap_or_default();
        match (self.history_dir.clone(), given.name_of("--history-sync")) {
            (None, Some(name)) => {
                Err(format!("{name} needs a history on the disk: name its folder with --history-dir"))
            }
            (path, _) => Ok(path.map(|path| {
                let mut dir = HistoryDir::new(path);
                dir.sync = sync;
                dir
            })),
        }
    }
}

/// The flag or variable that gave the host or the port. A typed address wins over both in the environment.
fn name_of_host_or_port(given: &Given) -> Option<&str> {
    let address = given.name_of("--listen").or(given.name_of("--unix"));
    let address_is_typed = address.is_some_and(is_flag);
    let mut names = ["--host", "--port"].into_iter().filter_map(|flag| given.name_of(flag));
    names.find(|name| is_flag(name) || !address_is_typed)
}

fn is_flag(name: &str) -> bool {
    name.starts_with("--")
}

/// Sets the permissions of the unix sockets among these addresses.
fn permit<'a>(
    addresses: impl IntoIterator<Item = &'a mut Address>,
    permissions: Option<u32>,
    name: Option<&str>,
    remedy: &str,
) -> Result<(), String> {
    let (Some(permissions), Some(name)) = (permissions, name) else { return Ok(()) };
    let modes = addresses.into_iter().filter_map(|address| match address {
        Address::Unix { mode, .. } => Some(mode),
        _ => None,
    });
    match modes.map(|mode| *mode = permissions).count() {
        0 => Err(format!("{name} is for unix sockets: name one with {remedy}")),
        _ => Ok(()),
    }
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}
