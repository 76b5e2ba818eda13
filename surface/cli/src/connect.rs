//! Where the server is and which key to show it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use reqwest::Url;
use serde::Deserialize;

use crate::args::{Connection, Secret};
use crate::exit::Trouble;

const DEFAULT: &str = "http://127.0.0.1:8080";

/// A server and a key for it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) url: Url,
    pub(crate) key: Option<Secret>,
    /// Where the key came from, or why there is none, for errors.
    pub(crate) key_from: String,
}

/// What a running server says about itself in its data directory.
#[derive(Debug, Deserialize)]
struct Running {
    address: String,
}

/// Finds the server and the key.
pub(crate) fn place(connection: &Connection) -> anyhow::Result<Place> {
    let data = &connection.data;
    let (url, own) = match &connection.url {
        Some(text) => (parse(text)?, false),
        None => match running(data)? {
            Some(url) => (url, true),
            None => (parse(DEFAULT)?, true),
        },
    };
    // The administrator's key of this machine is for servers on this machine only.
    let near = own || is_loopback(&url);
    let file = data.join("admin.key");
    let (key, key_from) = match &connection.api_key {
        Some(key) => (Some(key.clone()), "--api-key or OPENAUTOGLM_API_KEY".to_owned()),
        None if near => read_key(&file),
        None => (None, String::new()),
    };
    let key = key.filter(|key| !key.expose().is_empty());
    if let Some(key) = &key
        && !key.expose().bytes().all(|byte| byte.is_ascii_graphic())
    {
        let text = format!("the API key from {key_from} has characters that no key has");
        return Err(Trouble::usage(text).hint("a key is one word, such as oag_…").into());
    }
    Ok(Place { url, key, key_from })
}

/// Whether an address is on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn parse(text: &str) -> anyhow::Result<Url> {
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let wrong = |why: &str| {
        Trouble::usage(format!("'{text}' is not an address of a server: {why}"))
            .hint("write it as http://127.0.0.1:8080 or https://autopilot.example.com")
    };
    let url = Url::parse(&full).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("only http and https are spoken").into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Not repeated: there may be a password in it.
        let text = "the address of a server has no user name";
        return Err(Trouble::usage(text).hint("the key goes into --api-key").into());
    }
    Ok(url)
}

fn running(data: &Path) -> anyhow::Result<Option<Url>> {
    let file = data.join("run.json");
    let Ok(text) = fs::read_to_string(&file) else { return Ok(None) };
    let running: Running = serde_json::from_str(&text).map_err(|error| {
        Trouble::usage(format!("{} cannot be read: {error}", file.display()))
            .hint("name the server with --url")
    })?;
    let mut url = parse(&running.address)?;
    // A server that listens everywhere is reached here.
    let near = match url.host_str() {
        Some("0.0.0.0") => Some("127.0.0.1"),
        Some("[::]") => Some("[::1]"),
        _ => None,
    };
    if near.is_some() && url.set_host(near).is_err() {
        return Ok(None);
    }
    Ok(Some(url))
}

/// The key, and what to say about where it is.
fn read_key(file: &Path) -> (Option<Secret>, String) {
    match fs::read_to_string(file) {
        Ok(text) => (Some(Secret::new(&text)), file.display().to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => (None, String::new()),
        Err(error) => (None, format!("{} cannot be read: {error}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(data: &Path, url: Option<&str>, key: Option<&str>) -> Connection {
        Connection {
            url: url.map(str::to_owned),
            api_key: key.map(Secret::new),
            data: data.to_owned(),
            ca: None,
        }
    }

    #[test]
    fn a_running_server_is_found_with_its_key() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("run.json"), r#"{"pid": 1, "address": "0.0.0.0:9090"}"#).unwrap();
        fs::write(dir.path().join("admin.key"), "oag_key\n").unwrap();
        let place = place(&connection(dir.path(), None, None)).unwrap();
        assert_eq!(place.url.as_str(), "http://127.0.0.1:9090/");
        assert_eq!(place.key.unwrap().expose(), "oag_key");
    }

    #[test]
    fn without_anything_there_is_the_default_and_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(&connection(dir.path(), None, None)).unwrap();
        assert_eq!(place.url.as_str(), "http://127.0.0.1:8080/");
        assert!(place.key.is_none());
    }

    #[test]
    fn the_key_of_this_machine_stays_on_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("admin.key"), "oag_key\n").unwrap();
        let key = |url: &str| place(&connection(dir.path(), Some(url), None)).unwrap().key;
        assert!(key("https://autopilot.example.com").is_none());
        assert!(key("http://localhost:8080").is_some());
        assert!(key("http://[::1]:8080").is_some());
        assert!(key("127.0.0.1:8080").is_some());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for bad in ["ftp://x", "http://", "http://me:secret@x", "http://x:99999"] {
            assert!(place(&connection(dir.path(), Some(bad), None)).is_err(), "{bad}");
        }
        assert!(place(&connection(dir.path(), None, Some("two words"))).is_err());
    }
}
