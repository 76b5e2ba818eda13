//! A wire between the store and its server that breaks on purpose.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// When the wire breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cut {
    Never,
    /// The server never sees the COMMIT.
    BeforeCommit,
    /// The server has committed, and its answer is lost.
    AfterCommit,
    /// At the next word, and no new connection comes through.
    ForGood,
}

/// Passes bytes on between the store and its server. What it sees of a COMMIT that is to be cut is
/// the simple query of that name.
pub(crate) struct Wire {
    pub(crate) url: String,
    cut: Arc<AtomicU8>,
}

impl Wire {
    /// Listens in place of the server of an address; the threads end with the process.
    pub(crate) fn to(url: &str) -> Self {
        let (head, rest) = url.split_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let server: SocketAddr = server.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{head}@{}/{database}", listener.local_addr().unwrap());
        let cut = Arc::new(AtomicU8::new(Cut::Never as u8));
        let told = Arc::clone(&cut);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if told.load(Ordering::SeqCst) == Cut::ForGood as u8 {
                    continue;
                }
                let server = TcpStream::connect(server).unwrap();
                let told = Arc::clone(&told);
                std::thread::spawn(move || pass(client, server, &told));
            }
        });
        Self { url, cut }
    }

    /// The next COMMIT breaks its connection in this way, or everything does.
    pub(crate) fn cut(&self, how: Cut) {
        self.cut.store(how as u8, Ordering::SeqCst);
    }
}

fn pass(client: TcpStream, server: TcpStream, cut: &AtomicU8) {
    let (mut from_server, mut to_client) =
        (server.try_clone().unwrap(), client.try_clone().unwrap());
    let muted = Arc::new(AtomicU8::new(0));
    let mute = Arc::clone(&muted);
    let answers = std::thread::spawn(move || {
        let mut bytes = [0; 4_096];
        while let Ok(count) = from_server.read(&mut bytes)
            && count > 0
        {
            if mute.load(Ordering::SeqCst) == 1 {
                // The answer to the COMMIT: it is done, and nobody hears of it.
                break;
            }
            if to_client.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let (mut from_client, mut to_server) = (client, server);
    let mut bytes = [0; 65_536];
    while let Ok(count) = from_client.read(&mut bytes)
        && count > 0
    {
        if cut.load(Ordering::SeqCst) == Cut::ForGood as u8 {
            break;
        }
        let commit = bytes[..count].windows(6).any(|word| word == b"COMMIT");
        let how = if commit { cut.swap(Cut::Never as u8, Ordering::SeqCst) } else { 0 };
        if how == Cut::BeforeCommit as u8 {
            break;
        }
        muted.store(u8::from(how == Cut::AfterCommit as u8), Ordering::SeqCst);
        if to_server.write_all(&bytes[..count]).is_err() {
            break;
        }
        if how == Cut::AfterCommit as u8 {
            // Whoever reads from the server goes on until it has answered.
            let _ = answers.join();
            return;
        }
    }
    let _ = to_server.shutdown(Shutdown::Both);
    let _ = from_client.shutdown(Shutdown::Both);
}
