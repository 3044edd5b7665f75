//! A client for scrapes: one connection that is kept, and a buffer that is used again, so that it allocates nothing while it is
//! measured.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a server that scrapes OpenMetrics sends; Prometheus adds a few fields more.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

/// A connection to the exporter.
#[derive(Debug)]
pub struct Scraper {
    connection: TcpStream,
    request: String,
    buffer: Vec<u8>,
}

impl Scraper {
    /// Connects; nothing is sent yet.
    ///
    /// # Errors
    /// The connection is refused.
    pub fn connect(address: SocketAddr, gzip: bool) -> io::Result<Self> {
        let connection = TcpStream::connect(address)?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        let encoding = if gzip { "gzip" } else { "identity" };
        Ok(Self {
            connection,
            request: format!(
                "GET /metrics HTTP/1.1\r\nHost: {address}\r\nAccept: {ACCEPT}\r\nAccept-Encoding: {encoding}\r\n\r\n"
            ),
            buffer: Vec::with_capacity(4 << 20),
        })
    }

    /// Scrapes once and returns the head and the body as they were sent.
    ///
    /// # Errors
    /// The connection breaks, the answer is not 200, or it has no `Content-Length`, which every answer of the exporter has.
    pub fn scrape(&mut self) -> io::Result<(&str, &[u8])> {
        self.connection.write_all(self.request.as_bytes())?;
        self.buffer.clear();
        let mut end = usize::MAX;
        let mut body_at = 0;
        while self.buffer.len() < end {
            let mut chunk = [0; 64 << 10];
            let count = self.connection.read(&mut chunk)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buffer.extend_from_slice(&chunk[..count]);
            if body_at == 0
                && let Some(at) = self.buffer.windows(4).position(|at| at == b"\r\n\r\n")
            {
                body_at = at + 4;
                let length = head(&self.buffer[..at])?;
                end = body_at + length;
            }
        }
        let (head, body) = self.buffer.split_at(body_at);
        Ok((std::str::from_utf8(head).map_err(io::Error::other)?, body))
    }
}

/// Asks once for a path, or again while the exporter is busy, and returns the body.
///
/// # Errors
/// The connection breaks, or the answer is neither 200 nor 429.
pub fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    loop {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(
            connection,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 429") {
            std::thread::sleep(Duration::from_millis(100));
            continue;
        }
        let (fields, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        head(fields.as_bytes())?;
        return Ok(body.to_owned());
    }
}

/// The length that the head of an answer promises.
fn head(head: &[u8]) -> io::Result<usize> {
    let malformed = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let head = std::str::from_utf8(head).map_err(io::Error::other)?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(malformed("the answer is not 200"));
    }
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or_else(|| malformed("the answer has no Content-Length"))
}
