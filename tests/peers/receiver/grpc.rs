//! The gRPC side, on the service that `opentelemetry-proto` generates.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::{Answer, Shared, pki};

struct Service(Arc<Shared>);

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        let answer = self.0.note(request.into_inner(), &headers, "");
        answer.pause().await;
        match answer {
            Answer::Status(status) => Err(status),
            answer => Ok(Response::new(answer.response())),
        }
    }
}

pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    shared: Arc<Shared>,
) {
    let service = MetricsServiceServer::new(Service(shared))
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let server = Server::builder().add_service(service);
    let served = match tls {
        None => {
            server
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
        }
        Some(tls) => {
            let acceptor = TlsAcceptor::from(tls);
            let streams = futures_util::stream::unfold(listener, move |listener| {
                let acceptor = acceptor.clone();
                async move {
                    let stream = loop {
                        if let Ok((stream, _)) = listener.accept().await
                            && let Some(stream) = pki::accept(&acceptor, stream).await
                        {
                            break stream;
                        }
                    };
                    Some((Ok::<_, std::io::Error>(stream), listener))
                }
            });
            server.serve_with_incoming(streams).await
        }
    };
    served.expect("the gRPC server runs");
}
