//! A request goes out once, and what comes back is sorted: taken, try again, or never.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use hyper::StatusCode;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use prost::Message;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::client::{AGENT, Certificates, HttpClient, retry_after, with_causes};
use crate::config::{Compression, Protocol, Secret};

use super::Settings;

/// A receiver that asks for a longer pause gets this one.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// An answer that refuses is shown up to here.
const MOST_OF_REASON: usize = 200;

/// The way to the receiver. Connects when it is used.
pub(super) enum Transport {
    Grpc {
        client: MetricsServiceClient<Channel>,
        metadata: MetadataMap,
    },
    Http {
        client: HttpClient,
        uri: String,
        headers: HeaderMap,
        gzip: bool,
    },
    /// The settings make no transport, which every export says.
    Unusable(String),
}

/// The receiver took a request, perhaps without some points.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    pub(super) rejected_points: u64,
    pub(super) message: String,
}

/// The receiver did not take a request.
#[derive(Debug)]
pub(super) struct Failure {
    /// Whether it may take it later, and when it said so.
    pub(super) retry: Option<Option<Duration>>,
    pub(super) why: String,
}

impl Failure {
    pub(super) fn retryable(hint: Option<Duration>, why: String) -> Self {
        Self {
            retry: Some(hint.map(|pause| pause.min(LONGEST_PAUSE))),
            why,
        }
    }

    fn fatal(why: String) -> Self {
        Self { retry: None, why }
    }
}

impl Transport {
    pub(super) fn new(settings: &Settings) -> Self {
        let made = match settings.protocol {
            Protocol::Grpc => grpc(settings),
            Protocol::HttpProtobuf => http(settings),
        };
        made.unwrap_or_else(Self::Unusable)
    }

    pub(super) async fn send(
        &self,
        request: &ExportMetricsServiceRequest,
    ) -> Result<Accepted, Failure> {
        match self {
            Self::Grpc { client, metadata } => {
                let mut message = tonic::Request::new(request.clone());
                *message.metadata_mut() = metadata.clone();
                let answer = client.clone().export(message).await;
                answer
                    .map(|answer| accepted(answer.into_inner()))
                    .map_err(|status| refused(&status))
            }
            Self::Http {
                client,
                uri,
                headers,
                gzip,
            } => {
                let answer = client.post(uri, headers.clone(), body(request, *gzip));
                let answer = answer.await.map_err(|why| Failure::retryable(None, why))?;
                judge(answer.status, &answer.headers, &answer.body)
            }
            Self::Unusable(why) => Err(Failure::fatal(why.clone())),
        }
    }
}

fn grpc(settings: &Settings) -> Result<Transport, String> {
    let mut endpoint = Endpoint::from_shared(settings.endpoint.clone())
        .and_then(|endpoint| endpoint.user_agent(AGENT))
        .map_err(|error| with_causes(&error))?
        .connect_timeout(settings.timeout);
    if settings.endpoint.starts_with("https:") {
        endpoint = endpoint
            .tls_config(tls(&settings.certificates))
            .map_err(|error| with_causes(&error))?;
    }
    let mut client = MetricsServiceClient::new(endpoint.connect_lazy())
        .accept_compressed(CompressionEncoding::Gzip);
    if settings.compression == Compression::Gzip {
        client = client.send_compressed(CompressionEncoding::Gzip);
    }
    let mut metadata = MetadataMap::new();
    for (name, value) in &settings.headers {
        let (key, value) = metadata_entry(name, value)?;
        metadata.insert(key, value);
    }
    Ok(Transport::Grpc { client, metadata })
}

fn tls(certificates: &Certificates) -> ClientTlsConfig {
    let config = match certificates.ca() {
        Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    match certificates.identity() {
        Some((cert, key)) => config.identity(Identity::from_pem(cert, key)),
        None => config,
    }
}

fn http(settings: &Settings) -> Result<Transport, String> {
    let gzip = settings.compression == Compression::Gzip;
    let mut headers = HeaderMap::new();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-protobuf"),
    );
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    for (name, value) in &settings.headers {
        let (key, value) = header(name, value)?;
        headers.insert(key, value);
    }
    Ok(Transport::Http {
        client: HttpClient::new(&settings.certificates)?,
        uri: settings.endpoint.clone(),
        headers,
        gzip,
    })
}

/// Whether a header can be sent; the error says what is allowed.
pub(super) fn check_header(protocol: Protocol, name: &str, value: &Secret) -> Result<(), String> {
    match protocol {
        Protocol::Grpc => metadata_entry(name, value).map(|_| ()),
        Protocol::HttpProtobuf => header(name, value).map(|_| ()),
    }
}

fn metadata_entry(
    name: &str,
    value: &Secret,
) -> Result<(AsciiMetadataKey, AsciiMetadataValue), String> {
    let key = AsciiMetadataKey::from_bytes(name.to_ascii_lowercase().as_bytes()).map_err(|_| {
        format!("metadata keys of letters, digits and - that do not end in -bin, unlike {name}")
    })?;
    let value = AsciiMetadataValue::try_from(value.reveal())
        .map_err(|_| format!("visible characters only in the value of {name}"))?;
    Ok((key, value))
}

fn header(name: &str, value: &Secret) -> Result<(HeaderName, HeaderValue), String> {
    let key = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("header names of letters, digits and -, unlike {name}"))?;
    let mut value = HeaderValue::from_str(value.reveal())
        .map_err(|_| format!("visible characters only in the value of {name}"))?;
    value.set_sensitive(true);
    Ok((key, value))
}

fn body(request: &ExportMetricsServiceRequest, gzip: bool) -> Bytes {
    let encoded = request.encode_to_vec();
    if !gzip {
        return encoded.into();
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(encoded.len() / 4), Level::fast());
    // Writing into memory cannot fail.
    let _ = encoder.write_all(&encoded);
    encoder.finish().unwrap_or_default().into()
}

fn accepted(answer: ExportMetricsServiceResponse) -> Accepted {
    let partial = answer.partial_success.unwrap_or_default();
    Accepted {
        rejected_points: u64::try_from(partial.rejected_data_points).unwrap_or(0),
        message: partial.error_message,
    }
}

/// The codes that OTLP's specification calls retryable; `ResourceExhausted` only where the server says when.
fn refused(status: &Status) -> Failure {
    let hint = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    // What has a cause was not said by the receiver: the connection broke, whatever code tonic gives that.
    if let Some(cause) = std::error::Error::source(status) {
        return Failure::retryable(None, with_causes(cause));
    }
    let why = format!("{}: {}", status.code(), status.message());
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Failure::retryable(hint, why),
        Code::ResourceExhausted if hint.is_some() => Failure::retryable(hint, why),
        _ => Failure::fatal(why),
    }
}

fn judge(status: StatusCode, headers: &HeaderMap, content: &Bytes) -> Result<Accepted, Failure> {
    if status.is_success() {
        // A receiver that answers with something else has still taken the request.
        return Ok(ExportMetricsServiceResponse::decode(content.clone())
            .map(accepted)
            .unwrap_or_default());
    }
    let why = format!(
        "{status}: {}",
        String::from_utf8_lossy(&content[..content.len().min(MOST_OF_REASON)]).trim()
    );
    match status.as_u16() {
        429 | 502 | 503 | 504 => Err(Failure::retryable(retry_after(headers), why)),
        _ => Err(Failure::fatal(why)),
    }
}
