//! Real servers, ports and fixtures for tests; a dev-dependency only.
//!
//! Owns: the product as a real process, a real PostgreSQL, free ports, temporary directories and
//! waiting for something to become true. Refuses: imports from the other crates, so that every
//! floor may use it, and fakes of the product's own ports, which live beside those ports.

mod certificates;
pub mod postgres;
mod product;
mod wait;

pub use certificates::{Authority, Issued};
pub use product::{Options, Product};
pub use tempfile::TempDir;
pub use wait::wait_until;

/// A port of 127.0.0.1 that was free just now. Prefer port 0 and asking what was bound; this is
/// for programs that cannot say.
///
/// # Errors
/// When no socket can be bound.
pub fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A directory that goes away when the value does.
///
/// # Errors
/// When it cannot be made.
pub fn temp_dir() -> std::io::Result<TempDir> {
    tempfile::Builder::new().prefix("oag-test-").tempdir()
}

/// An HTTP client with the product's provider of cryptography. It follows no redirects, so that a
/// test sees what was answered.
///
/// # Errors
/// When the client cannot be built.
pub fn client() -> anyhow::Result<reqwest::Client> {
    // An error says that another test of this process was first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(std::time::Duration::from_secs(30))
        .build()?;
    Ok(client)
}
