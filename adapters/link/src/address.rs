//! Where a controller is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use url::{Host, Url};

use crate::secure::SecureAddress;

/// The address of a controller, such as `http://127.0.0.1:8080/register`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    url: Url,
}

/// A text that is no address of a controller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is no address of a controller, such as http://127.0.0.1:8080/register: {problem}"
)]
pub struct BadAddress {
    text: String,
    problem: String,
}

impl FromStr for Controller {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let wrong =
            |problem: String| BadAddress { text: text.chars().take(200).collect(), problem };
        let mut url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("it begins with http:// or https://".to_owned()));
        }
        if url.host().is_none() {
            return Err(wrong("it names no host".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("a token is given apart from it".to_owned()));
        }
        if url.path() == "/" {
            url.set_path("/register");
        }
        Ok(Self { url })
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

impl Controller {
    /// The host, as TLS names it.
    #[must_use]
    pub fn host(&self) -> String {
        match self.url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => String::new(),
        }
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(80)
    }

    /// Whether it is on this machine, by its address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
            None => false,
        }
    }

    /// Whether it is the port for nodes with certificates itself.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Host and port, for certificates.
    #[must_use]
    pub fn secure_address(&self) -> SecureAddress {
        SecureAddress::new(self.host(), self.port())
    }

    /// As an address of a WebSocket.
    #[must_use]
    pub fn socket_url(&self) -> String {
        let text = self.url.to_string();
        // `http://` becomes `ws://`, `https://` becomes `wss://`.
        text.replacen("http", "ws", 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        let of = |text: &str| text.parse::<Controller>();
        let plain = of("http://127.0.0.1:8080").unwrap();
        assert_eq!(plain.socket_url(), "ws://127.0.0.1:8080/register");
        assert!(plain.is_loopback() && of("http://[::1]:1/register").unwrap().is_loopback());
        let far = of("https://control.example.com/register").unwrap();
        assert_eq!((far.is_loopback(), far.port()), (false, 443));
        assert_eq!(
            (far.host(), of("http://[2001:db8::1]/").unwrap().host()),
            ("control.example.com".to_owned(), "2001:db8::1".to_owned())
        );
        for odd in ["", "127.0.0.1:8080", "ftp://a/", "http://me:secret@a/"] {
            let error = of(odd).unwrap_err().to_string();
            assert!(error.contains("such as http://"), "{error}");
        }
    }
}
