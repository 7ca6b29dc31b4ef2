//! A configuration in the making: what the options of the table fill in, one after the other.
//!
//! Options are applied one by one and judged together: what only makes sense with another option is refused when all
//! are there. Making a [`Config`] leaves the draft as it is, so that who keeps it can make the next one from it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use smolcast::{Address, Config, HistoryFile, HistorySync};

use super::UsageError;
use super::options::{Opt, Secret};
use crate::access_files::{AccessFiles, Files};

#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// What needs nothing but its own option.
    pub(super) config: Config,
    pub(super) host: IpAddr,
    pub(super) port: u16,
    pub(super) listen: Vec<Address>,
    pub(super) unix: Option<PathBuf>,
    pub(super) unix_mode: Option<u32>,
    pub(super) admin_mode: Option<u32>,
    pub(super) files: Files,
    pub(super) history_path: Option<PathBuf>,
    pub(super) history_sync: HistorySync,
    /// The options that were given, each with what it came by.
    given: Vec<(&'static str, Source)>,
}

/// What an option came by. As text it is what its user would call it.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Flag(String),
    Variable(String),
}

impl Source {
    fn is_typed(&self) -> bool {
        matches!(self, Self::Flag(_))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Flag(name) | Self::Variable(name)) = self;
        f.write_str(name)
    }
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            config: Config::default(),
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 1942,
            listen: Vec::new(),
            unix: None,
            unix_mode: None,
            admin_mode: None,
            files: Files::default(),
            history_path: None,
            history_sync: HistorySync::default(),
            given: Vec::new(),
        }
    }
}

impl Draft {
    /// Fills in the text of one option, which came by this.
    pub(super) fn apply(&mut self, option: &'static Opt, source: Source, text: &str) -> Result<(), UsageError> {
        if !(option.apply)(self, text) {
            return Err(UsageError(format!("{source} takes {}, not {text:?}", option.takes)));
        }
        self.given.push((option.name, source));
        Ok(())
    }

    /// Fills in a secret. What is wrong with it is told without it.
    pub(super) fn apply_secret(&mut self, secret: &Secret, text: Option<&str>) -> Result<(), UsageError> {
        let is_understood = text.is_some_and(|text| (secret.apply)(self, text));
        let error = || UsageError(format!("{} takes {}", secret.variable, secret.takes));
        is_understood.then_some(()).ok_or_else(error)
    }

    /// By which flag or variable the option of this name was given, if it was.
    fn source_of(&self, name: &str) -> Option<&Source> {
        self.given.iter().find(|given| given.0 == name).map(|given| &given.1)
    }

    /// What all of it comes to, if it goes together.
    pub(super) fn config(&self) -> Result<Config, UsageError> {
        let mut config = self.config.clone();
        config.listen = self.addresses()?;
        self.permit(&mut config.listen, self.unix_mode, "unix-mode", "--unix or --listen unix:")?;
        self.permit(&mut config.admin, self.admin_mode, "admin-mode", "--admin unix:")?;
        config.history_file = self.history_file()?;
        if let (Some(source), None) = (self.source_of("trusted-proxy"), config.limits.connections_per_ip) {
            return Err(UsageError(format!(
                "{source} says for whom a limit holds: set it with --max-connections-per-ip"
            )));
        }
        Ok(config)
    }

    /// The addresses to listen on, in the order in which they are told.
    fn addresses(&self) -> Result<Vec<Address>, UsageError> {
        let mut addresses = match (self.source_of("listen"), self.source_of_host_or_port()) {
            (Some(listen), Some(other)) => {
                return Err(UsageError(format!("{listen} takes the place of {other}: give one of the two")));
            }
            (Some(_), None) => self.listen.clone(),
            (None, None) if self.unix.is_some() => Vec::new(),
            (None, _) => vec![(self.host, self.port).into()],
        };
        addresses.extend(self.unix.iter().map(Address::unix));
        Ok(addresses)
    }

    /// Gives the unix sockets among these addresses the permissions that the option of this name has chosen, if it has.
    fn permit<'a>(
        &self,
        addresses: impl IntoIterator<Item = &'a mut Address>,
        chosen: Option<u32>,
        name: &str,
        where_to: &str,
    ) -> Result<(), UsageError> {
        let (Some(chosen), Some(source)) = (chosen, self.source_of(name)) else { return Ok(()) };
        let modes = addresses.into_iter().filter_map(|address| match address {
            Address::Unix { mode, .. } => Some(mode),
            Address::Tcp(_) => None,
        });
        if modes.map(|mode| *mode = chosen).count() == 0 {
            return Err(UsageError(format!("{source} is for unix sockets: name one with {where_to}")));
        }
        Ok(())
    }

    /// By what the host was given, or the port. An address that was typed wins over what stands in the environment.
    fn source_of_host_or_port(&self) -> Option<&Source> {
        let address = self.source_of("listen").or(self.source_of("unix"));
        let is_typed = address.is_some_and(Source::is_typed);
        let mut sources = ["host", "port"].into_iter().filter_map(|name| self.source_of(name));
        sources.find(|source| source.is_typed() || !is_typed)
    }

    /// Who is let in, by what was typed and by what files say, which are not read here.
    pub(super) fn access_files(&self) -> Result<AccessFiles, UsageError> {
        let typed = self.config.access.clone();
        match self.source_of("publish-token-file") {
            Some(source) if !typed.publish_tokens.is_empty() => {
                Err(UsageError(format!("{source} and SMOLCAST_PUBLISH_TOKEN both give tokens: give one of the two")))
            }
            _ => Ok(AccessFiles { typed, files: self.files.clone() }),
        }
    }

    fn history_file(&self) -> Result<Option<HistoryFile>, UsageError> {
        match (&self.history_path, self.source_of("history-sync")) {
            (Some(path), _) => Ok(Some(HistoryFile { path: path.clone(), sync: self.history_sync })),
            (None, None) => Ok(None),
            (None, Some(source)) => {
                Err(UsageError(format!("{source} says when a file is written: name one with --history-file")))
            }
        }
    }
}

/// Fills `slot` with what was understood, and says whether it was.
pub(super) fn set<T>(slot: &mut T, understood: Option<T>) -> bool {
    understood.map(|value| *slot = value).is_some()
}
