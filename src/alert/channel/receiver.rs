//! A receiver of one request, for the tests of the channels.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::client::{Certificates, HttpClient};

use super::post::Post;

/// What it was sent.
pub(super) struct Received {
    /// The first line.
    pub(super) line: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let header = headers.find(|(header, _)| header == name);
        header.map(|(_, value)| value.as_str())
    }
}

/// Where it listens, and what it will have been sent. To an answer that is empty, it hangs up.
pub(super) async fn receiver(answer: &str) -> (String, JoinHandle<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = answer.to_owned();
    let received = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        loop {
            if let Some(received) = parsed(&request) {
                stream.write_all(answer.as_bytes()).await.unwrap();
                return received;
            }
            let read = stream.read_buf(&mut request).await.unwrap();
            assert_ne!(read, 0, "{}", String::from_utf8_lossy(&request));
        }
    });
    (url, received)
}

/// What sends to it, with time enough.
pub(super) fn post() -> Post {
    let client = HttpClient::new(&Certificates::default()).unwrap();
    Post::new(client, Duration::from_secs(20))
}

/// An answer with a body, and with headers that each end their line.
pub(super) fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

/// A request, once it is complete.
fn parsed(request: &[u8]) -> Option<Received> {
    let request = std::str::from_utf8(request).ok()?;
    let (head, body) = request.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let received = Received {
        line,
        headers: headers.collect(),
        body: body.to_owned(),
    };
    let length: usize = received.header("content-length")?.parse().ok()?;
    (body.len() == length).then_some(received)
}
