//! An OTLP receiver in this process that keeps what arrives and answers as it is told: well, badly, slowly, or not at all.
//!
//! | file | holds |
//! |---|---|
//! | `grpc.rs` | the gRPC side |
//! | `http.rs` | the http/protobuf side |
//! | `pki.rs` | certificates for both |
//! | `points.rs` | requests, taken apart |

mod grpc;
mod http;
pub(crate) mod pki;
pub(crate) mod points;

use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use memory_exporter::config::Protocol;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use tokio::sync::oneshot;

use crate::wait::eventually;

use pki::Pki;

/// What the receiver answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Accept,
    /// Takes the request but for so many points.
    Partial(i64, &'static str),
    /// Refuses by gRPC.
    Status(tonic::Status),
    /// Refuses by HTTP, with a status and perhaps `Retry-After`.
    Code(u16, Option<String>),
    /// Takes the request after a while.
    Slow(Duration),
    /// Never answers.
    Hang,
}

impl Answer {
    /// Whether the receiver keeps the data.
    fn takes(&self) -> bool {
        matches!(self, Self::Accept | Self::Partial(..))
    }

    /// The message of an answer that takes the request.
    fn response(&self) -> ExportMetricsServiceResponse {
        let partial_success = match self {
            Self::Partial(rejected_data_points, message) => Some(ExportMetricsPartialSuccess {
                rejected_data_points: *rejected_data_points,
                error_message: (*message).to_owned(),
            }),
            _ => None,
        };
        ExportMetricsServiceResponse { partial_success }
    }

    /// Waits as long as this answer lets wait.
    async fn pause(&self) {
        match self {
            Self::Slow(pause) => tokio::time::sleep(*pause).await,
            Self::Hang => std::future::pending().await,
            _ => {}
        }
    }
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) at: Instant,
    pub(crate) request: ExportMetricsServiceRequest,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) path: String,
    /// Whether the receiver kept it.
    pub(crate) taken: bool,
}

/// What the server's tasks share with the test.
#[derive(Default)]
struct Shared {
    deliveries: Mutex<Vec<Delivery>>,
    answers: Mutex<Answers>,
}

struct Answers {
    next: VecDeque<Answer>,
    then: Answer,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            next: VecDeque::new(),
            then: Answer::Accept,
        }
    }
}

impl Shared {
    /// Notes a request and says how to answer it.
    fn note(
        &self,
        request: ExportMetricsServiceRequest,
        headers: &hyper::HeaderMap,
        path: &str,
    ) -> Answer {
        let mut answers = lock(&self.answers);
        let answer = answers.next.pop_front();
        let answer = answer.unwrap_or_else(|| answers.then.clone());
        let text = |value: &hyper::header::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        lock(&self.deliveries).push(Delivery {
            at: Instant::now(),
            request,
            headers: headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            path: path.to_owned(),
            taken: answer.takes(),
        });
        answer
    }
}

/// A running receiver.
pub(crate) struct Receiver {
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
    secure: bool,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub(crate) fn start(protocol: Protocol) -> Self {
        Self::start_with(protocol, None)
    }

    /// A receiver behind TLS, which asks for a client certificate if `mutual` is true.
    pub(crate) fn secure(protocol: Protocol, pki: &Pki, mutual: bool) -> Self {
        Self::start_with(protocol, Some(pki.server(protocol, mutual)))
    }

    fn start_with(protocol: Protocol, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket for tokio");
        let address = listener.local_addr().expect("the address");
        let shared = Arc::<Shared>::default();
        let (stop, stopped) = oneshot::channel();
        let secure = tls.is_some();
        let serve = {
            let shared = Arc::clone(&shared);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(async {
                    let listener = tokio::net::TcpListener::from_std(listener);
                    let listener = listener.expect("a listener");
                    let connections = async {
                        match protocol {
                            Protocol::Grpc => grpc::serve(listener, tls, shared).await,
                            Protocol::HttpProtobuf => http::serve(listener, tls, shared).await,
                        }
                    };
                    tokio::select! {
                        () = connections => {}
                        _ = stopped => {}
                    }
                });
                runtime.shutdown_background();
            }
        };
        Self {
            protocol,
            address,
            secure,
            shared,
            stop: Some(stop),
            thread: Some(std::thread::spawn(serve)),
        }
    }

    /// What the next requests get, one by one; all after them get [`Answer::Accept`].
    pub(crate) fn answering(self, answers: impl IntoIterator<Item = Answer>) -> Self {
        lock(&self.shared.answers).next.extend(answers);
        self
    }

    /// What every request gets from now on.
    pub(crate) fn answer_all(&self, answer: Answer) {
        *lock(&self.shared.answers) = Answers {
            next: VecDeque::new(),
            then: answer,
        };
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    pub(crate) fn deliveries(&self) -> MutexGuard<'_, Vec<Delivery>> {
        lock(&self.shared.deliveries)
    }

    /// Waits until so many requests have arrived in all, and gives them.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Delivery> {
        eventually(&format!("{count} requests arrive"), || {
            let deliveries = self.deliveries();
            (deliveries.len() >= count).then(|| deliveries.clone())
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
