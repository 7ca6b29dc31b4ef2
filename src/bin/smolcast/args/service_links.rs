//! Variables of the environment that are not the operator's: those of Kubernetes, and those that nothing reads.
//!
//! For a Service named `smolcast` Kubernetes sets `SMOLCAST_PORT=tcp://10.0.0.1:1942` and more such service links in
//! each pod of the namespace, unless the pod says `enableServiceLinks: false`.

use std::ffi::{OsStr, OsString};

use super::env::{PUBLISH_TOKEN, distance, settings, variable_of};

const PREFIX: &str = "SMOLCAST_";

/// Returns true for the value of a service link.
pub(super) fn is_link(value: &OsStr) -> bool {
    let value = value.to_string_lossy();
    ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme))
}

/// Describes a service link in place of a port.
pub(super) fn not_a_port(name: &str, value: &OsStr) -> String {
    format!(
        "{name} is {value:?}, which Kubernetes sets for a Service of that name, and no port: set enableServiceLinks: \
         false in the pod's spec, or give --port"
    )
}

/// A warning for each variable that looks like a setting and is none, with the nearest name.
pub(super) fn warnings(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<String> {
    let known: Vec<_> = settings().map(|flag| variable_of(flag.long)).chain([PUBLISH_TOKEN.to_owned()]).collect();
    let mut warnings: Vec<_> = variables
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| {
            let name = name.to_string_lossy();
            let rest = name.strip_prefix(PREFIX)?;
            let is_ours = known.iter().any(|known| *known == name);
            (!is_ours && !is_link(&value) && !is_name_of_link(rest)).then(|| warning(&name, &known))
        })
        .collect();
    warnings.sort();
    warnings
}

fn warning(name: &str, known: &[String]) -> String {
    let nearest = known.iter().map(|known| (distance(name, known), known)).min();
    // If more than half of it differs, it is another name.
    let nearest = nearest.filter(|(distance, _)| *distance <= name.len().saturating_sub(PREFIX.len()) / 2);
    let hint = nearest.map_or_else(String::new, |(_, known)| format!(" (did you mean {known}?)"));
    format!("there is no variable {}{hint}, so it is ignored", name.escape_debug())
}

/// Returns true for the name of a service link without the prefix: `SERVICE_HOST`, `PORT_1942_TCP_ADDR`.
fn is_name_of_link(rest: &str) -> bool {
    let words: Vec<&str> = rest.split('_').collect();
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_digit());
    words.windows(2).any(|pair| matches!(pair, ["SERVICE", "HOST" | "PORT"]))
        || words.windows(3).any(|three| matches!(three, ["PORT", number, "TCP" | "UDP" | "SCTP"] if is_number(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(variables: &[(&str, &str)]) -> Vec<String> {
        warnings(variables.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn unknown_variables_get_a_line_with_the_nearest_name() {
        let odd = [
            ("SMOLCAST_PROT", "1"),
            ("SMOLCAST_MAXBODY", "1"),
            ("SMOLCAST_PUBLISH_TOKENS", "x"),
            ("SMOLCAST_SOMETHING_ELSE", "x"),
            ("SMOLCAST_PRT", ""),
            ("SMOLCAST_MAX_BODY", "1"),
            ("SMOLCAST_PUBLISH_TOKEN", "x"),
            ("PORT", "1"),
        ];
        let expected = [
            "there is no variable SMOLCAST_MAXBODY (did you mean SMOLCAST_MAX_BODY?), so it is ignored",
            "there is no variable SMOLCAST_PROT (did you mean SMOLCAST_PORT?), so it is ignored",
            "there is no variable SMOLCAST_PUBLISH_TOKENS (did you mean SMOLCAST_PUBLISH_TOKEN?), so it is ignored",
            "there is no variable SMOLCAST_SOMETHING_ELSE, so it is ignored",
        ];
        assert_eq!(warned(&odd), expected);
    }

    #[test]
    fn service_links_get_no_line() {
        let links = [
            ("SMOLCAST_SERVICE_HOST", "10.0.0.1"),
            ("SMOLCAST_SERVICE_PORT", "1942"),
            ("SMOLCAST_SERVICE_PORT_HTTP", "1942"),
            ("SMOLCAST_PORT", "tcp://10.0.0.1:1942"),
            ("SMOLCAST_PORT_1942_TCP", "tcp://10.0.0.1:1942"),
            ("SMOLCAST_PORT_1942_TCP_PROTO", "tcp"),
            ("SMOLCAST_PORT_1942_TCP_PORT", "1942"),
            ("SMOLCAST_PORT_1942_TCP_ADDR", "10.0.0.1"),
            ("SMOLCAST_ADMIN_SERVICE_HOST", "10.0.0.2"),
            ("SMOLCAST_ADMIN_PORT", "tcp://10.0.0.2:9942"),
        ];
        assert_eq!(warned(&links), Vec::<String>::new());
    }
}
