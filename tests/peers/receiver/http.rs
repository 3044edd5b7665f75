//! The http/protobuf side.

use std::io::Read;
use std::sync::Arc;

use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Answer, Shared, pki};

pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    shared: Arc<Shared>,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            match acceptor {
                None => converse(stream, shared).await,
                Some(acceptor) => {
                    if let Some(stream) = pki::accept(&acceptor, stream).await {
                        converse(stream, shared).await;
                    }
                }
            }
        });
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, shared: Arc<Shared>) {
    let service = service_fn(|request| answer(request, Arc::clone(&shared)));
    let connection = hyper::server::conn::http1::Builder::new();
    // The client hangs up when it likes.
    let _ = connection
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let is_gzip = parts
        .headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| encoding == "gzip");
    let mut plain = Vec::new();
    if is_gzip {
        GzDecoder::new(&body[..])
            .read_to_end(&mut plain)
            .expect("a gzip body");
    } else {
        plain.extend_from_slice(&body);
    }
    let message = Message::decode(&plain[..]).expect("an export request");
    let answer = shared.note(message, &parts.headers, parts.uri.path());
    answer.pause().await;
    let response = Response::builder();
    let response = match answer {
        Answer::Code(code, retry_after) => {
            let response = response.status(code);
            let response = match retry_after {
                Some(when) => response.header(RETRY_AFTER, when),
                None => response,
            };
            response.body(Full::from("not now, says the receiver"))
        }
        answer => response
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(Full::from(answer.response().encode_to_vec())),
    };
    Ok(response.expect("a response"))
}
