//! A client of one connection, as small as HTTP/1.1 allows, so that little of its own is measured.

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One connection that is kept alive.
pub(crate) struct Client {
    stream: TcpStream,
    host: String,
    key: String,
    read: Vec<u8>,
}

impl Client {
    /// Connects to `http://HOST:PORT`.
    ///
    /// # Errors
    /// When the address has another form or nobody listens.
    pub(crate) async fn connect(url: &str, key: &str) -> anyhow::Result<Self> {
        let host = url.strip_prefix("http://").context("only http:// addresses can be measured")?;
        let host = host.trim_end_matches('/').to_owned();
        let stream = TcpStream::connect(&host).await.with_context(|| host.clone())?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host, key: key.to_owned(), read: Vec::new() })
    }

    /// Sends JSON and reads the whole answer.
    ///
    /// # Errors
    /// When the connection ends or the status is not of the 200s.
    pub(crate) async fn post(&mut self, path: &str, json: &str) -> anyhow::Result<Vec<u8>> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{json}",
            self.host,
            self.key,
            json.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        let (status, body) = self.answer().await?;
        if !(200..300).contains(&status) {
            bail!("{path} answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }

    async fn answer(&mut self) -> anyhow::Result<(u16, Vec<u8>)> {
        let head_len = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head: Vec<u8> = self.read.drain(..head_len).collect();
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        let mut lines = head.lines().filter_map(|line| line.strip_prefix("content-length:"));
        let length = lines.next().context("an answer without its length")?.trim().parse()?;
        while self.read.len() < length {
            self.more().await?;
        }
        Ok((status, self.read.drain(..length).collect()))
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        let read = self.stream.read_buf(&mut self.read).await?;
        ensure!(read > 0, "the server closed the connection");
        Ok(())
    }
}
