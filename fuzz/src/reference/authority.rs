//! `host [ ":" port ]` by RFC 3986, 3.2.2 and 3.2.3, for a server that has a host and a TCP port.

/// Checks for a host, with or without a port.
///
/// A host is not empty (RFC 9110, 4.2.1). It has no comma, although a registered name may, because a list of hosts
/// would pass for one. The only addresses in brackets are IPv6.
pub fn is_host_and_port(octets: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(octets) else { return false };
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| is_ipv6(address) && is_colon_port(port));
    }
    let host_end = text.find(':').unwrap_or(text.len());
    is_name(&text[..host_end]) && is_colon_port(&text[host_end..])
}

/// Nothing, or a colon and a port of any number of digits.
fn is_colon_port(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(':') else { return text.is_empty() };
    let number = digits.trim_start_matches('0');
    let fits = number.len() < 5 || (number.len() == 5 && number <= "65535");
    fits && digits.bytes().all(|octet| octet.is_ascii_digit())
}

/// `reg-name`, which includes IPv4 addresses.
fn is_name(name: &str) -> bool {
    let mut parts = name.split('%');
    let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+;=".contains(c));
    let is_after_percent = |text: &str| {
        let digits = text.bytes().take(2).filter(u8::is_ascii_hexdigit).count();
        digits == 2 && is_plain(&text[2..])
    };
    !name.is_empty() && parts.next().is_some_and(is_plain) && parts.all(is_after_percent)
}

/// `IPv6address`: eight groups, or fewer with one `::` for the rest.
fn is_ipv6(address: &str) -> bool {
    match address.split_once("::") {
        None => groups(address, true) == Some(8),
        Some((before, after)) => {
            let count = |side: &str, is_last| if side.is_empty() { Some(0) } else { groups(side, is_last) };
            let total = count(before, false).zip(count(after, true));
            total.is_some_and(|(before, after)| before + after <= 7)
        }
    }
}

/// The number of groups. An IPv4 address, which is allowed at the end, counts as two.
fn groups(text: &str, is_last: bool) -> Option<usize> {
    let parts: Vec<&str> = text.split(':').collect();
    let (last, others) = parts.split_last()?;
    let is_group = |part: &&str| (1..=4).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_hexdigit());
    let last_counts = match (is_group(last), is_last && is_ipv4(last)) {
        (true, _) => 1,
        (_, true) => 2,
        _ => return None,
    };
    others.iter().all(is_group).then_some(others.len() + last_counts)
}

fn is_ipv4(text: &str) -> bool {
    let is_octet = |part: &str| {
        let is_short = part == "0" || ((1..=3).contains(&part.len()) && !part.starts_with('0'));
        is_short && part.bytes().all(|octet| octet.is_ascii_digit()) && (part.len() < 3 || part <= "255")
    };
    text.split('.').count() == 4 && text.split('.').all(is_octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_by_the_grammar() {
        let good = "h a.b a_b~c 127.0.0.1:1942 h: h:0 h:000065535 %41z a%2Cb [::1] [::]:80 [1:2:3:4:5:6:7:8]
            [1:2:3:4:5:6:7::] [::2:3:4:5:6:7:8] [1::8] [::ffff:1.2.3.4] [1:2:3:4:5:6:255.0.0.1] [1:2:3:4:5::1.2.3.4]";
        for host in good.split_whitespace() {
            assert!(is_host_and_port(host.as_bytes()), "{host}");
        }
        let bad = ":80 u@h a,b h/ h? h# h:x h:65536 h:100000 h:+1 a:b:1 ::1 h% h%4 h%4g é [ [] [h] [::1 [::1]x [::1]:x
            [v1.a] [1:2:3:4:5:6:7] [:::] [1:2:3:4:5:6:7:8:9] [1:2:3:4::5:6:7:8] [1::2::3] [12345::] [1.2.3.4::]
            [::1.2.3.256] [::1.2.3.04] [::1%eth0] [::1.2.3] \u{0}";
        for host in bad.split_whitespace().chain(["", "a b", "h "]) {
            assert!(!is_host_and_port(host.as_bytes()), "{host}");
        }
        assert!(!is_host_and_port(b"\xff"));
    }
}
