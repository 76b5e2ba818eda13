//! Where a request comes from, as far as it can be believed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::ConnectInfo;
use http::header::FORWARDED;
use http::{Extensions, HeaderMap, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the client: the one that connected, or, when that is a proxy to be trusted, the
/// one it names. The unspecified address when nobody said.
///
/// Hops are read from the last one back, and the first that is no trusted proxy is the client:
/// whatever a client wrote itself stands before that. With both headers, both must name the same:
/// a proxy sets one of them and may pass the other through as the client sent it.
pub(crate) fn address(extensions: &Extensions, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip().to_canonical());
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let plain = text(headers, &X_FORWARDED_FOR).map(|text| back(peer, plain(&text), trusted));
    let forwarded = text(headers, &FORWARDED).map(|text| back(peer, forwarded(&text), trusted));
    match (plain, forwarded) {
        (Some(one), Some(other)) if one != other => peer,
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => peer,
    }
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// The first hop, from the last one back, that is no trusted proxy. Where a hop cannot be read,
/// the proxy that wrote it down is all that is known.
fn back(peer: IpAddr, hops: Vec<Option<IpAddr>>, trusted: &[IpNet]) -> IpAddr {
    let mut known = peer;
    for hop in hops.into_iter().rev() {
        match hop {
            Some(address) if is_trusted(known, trusted) => known = address,
            _ => break,
        }
    }
    known
}

/// A header may come several times: its lines are one list.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<&str> =
        headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("?")).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

fn plain(text: &str) -> Vec<Option<IpAddr>> {
    text.split(',').map(|hop| node(hop.trim())).collect()
}

/// `for=192.0.2.60;proto=http, for="[2001:db8::17]:4711"` (RFC 7239).
fn forwarded(text: &str) -> Vec<Option<IpAddr>> {
    let hop = |element: &str| {
        let (_, value) = split(element, ';')
            .into_iter()
            .filter_map(|pair| pair.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
        node(value.trim().trim_matches('"'))
    };
    split(text, ',').into_iter().map(hop).collect()
}

/// Splits where the mark stands outside of quotes.
fn split(text: &str, mark: char) -> Vec<&str> {
    let mut quoted = false;
    let outside = |letter: char| {
        quoted ^= letter == '"';
        letter == mark && !quoted
    };
    text.split(outside).collect()
}

/// An address with or without a port; names and `unknown` are none.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let found: Result<IpAddr, _> = bare.parse();
    let address = found.ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(peer: &str, headers: &[(&str, &str)]) -> String {
        let mut extensions = Extensions::new();
        let peer: IpAddr = peer.parse().unwrap();
        extensions.insert(ConnectInfo(SocketAddr::new(peer, 40_000)));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8", "2001:db8:f::/48"].map(|net| net.parse().unwrap());
        address(&extensions, &map, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let header = ("x-forwarded-for", "203.0.113.9");
        assert_eq!(of("192.0.2.7", &[header]), "192.0.2.7");
        assert_eq!(of("10.1.2.3", &[header]), "203.0.113.9");
        assert_eq!(of("::ffff:10.1.2.3", &[header]), "203.0.113.9");
        assert_eq!(of("10.1.2.3", &[]), "10.1.2.3");
        assert_eq!(of("10.1.2.3", &[("forwarded", "for=203.0.113.9;proto=https")]), "203.0.113.9");
    }

    #[test]
    fn what_a_client_wrote_before_its_proxy_is_not_believed() {
        let spoofed = ("x-forwarded-for", "10.9.9.9, 198.51.100.1, 203.0.113.9, 10.0.0.2");
        assert_eq!(of("10.0.0.1", &[spoofed]), "203.0.113.9");
        let lines = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(of("10.0.0.1", &lines), "203.0.113.9");
        // The proxy sets one of the headers; the other is the client's.
        let both = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=198.51.100.1")];
        assert_eq!(of("10.0.0.1", &both), "10.0.0.1");
        let same = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")];
        assert_eq!(of("10.0.0.1", &same), "203.0.113.9");
    }

    #[test]
    fn addresses_are_read_in_every_form() {
        for (text, expected) in [
            ("for=\"[2001:db8::17]:4711\"", "2001:db8::17"),
            ("For=\"203.0.113.9:80\"; by=\"a,b;c\"", "203.0.113.9"),
            ("proto=http;for=198.51.100.1, for=\"[2001:db8:f::1]\"", "198.51.100.1"),
            ("for=unknown", "10.0.0.1"),
            ("for=_hidden, for=10.0.0.2", "10.0.0.2"),
            ("proto=http", "10.0.0.1"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(of("10.0.0.1", &[("forwarded", text)]), expected, "{text}");
        }
        for text in ["203.0.113.9:4711", "[203.0.113.9]", " 203.0.113.9 "] {
            assert_eq!(of("10.0.0.1", &[("x-forwarded-for", text)]), "203.0.113.9", "{text}");
        }
        assert_eq!(of("10.0.0.1", &[("x-forwarded-for", "no,address")]), "10.0.0.1");
    }
}
