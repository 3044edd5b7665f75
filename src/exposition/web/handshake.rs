//! A new connection becomes one over TLS. The time that it may take is measured by who calls.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::tls::Tls;

/// First byte of a TLS record with a handshake in it.
const HANDSHAKE: u8 = 0x16;
/// What Go's server says to who has mistaken the scheme.
const WRONG_SCHEME: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Shakes hands.
///
/// # Errors
/// Why not: the client speaks something else, or has no certificate that is taken.
pub(super) async fn shake_hands(
    tls: &Tls,
    mut stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if first[0] == HANDSHAKE {
        return TlsAcceptor::from(tls.config()).accept(stream).await;
    }
    if first[0].is_ascii_uppercase() {
        // What is not read when the socket is closed takes the answer with it.
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await?;
        stream.write_all(WRONG_SCHEME).await?;
        stream.shutdown().await?;
        return Err(io::Error::other(
            "the client speaks plain HTTP: its URL must begin with https",
        ));
    }
    Err(io::Error::other("the client speaks neither TLS nor HTTP"))
}
