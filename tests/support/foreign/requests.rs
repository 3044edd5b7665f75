//! What clients send, and what an exporter of before left for this one to answer with. See the module above.

use std::fs;
use std::io::Read as _;
use std::sync::OnceLock;
use std::time::Duration;

use memory_exporter::{Config, Exporter, Peer};
use warp::http::{HeaderName, HeaderValue, Method, Uri};

use super::files::tree;

/// The file of alerts that a process left behind.
pub fn alerts(bytes: &[u8]) {
    // Where the history would be stands a folder, so that none is made.
    let folder = tree(&[("history.redb/none", "")]);
    fs::write(folder.path().join("alerts.json"), bytes).unwrap();
    let mut config = Config::production();
    config.history.directory = Some(folder.path().to_owned());
    let exporter = Exporter::builder(config).without_server().start().unwrap();
    let answers = runtime().block_on(async {
        let list = ask(&exporter, "GET", "/metrics/memory/alerts", &[]).await;
        let silences = ask(&exporter, "GET", "/metrics/memory/alerts/silences", &[]).await;
        [list, silences]
    });
    for answer in answers {
        let body = String::from_utf8_lossy(answer.body());
        assert_eq!(answer.status(), 200, "{body}");
        serde_json::from_str::<serde_json::Value>(&body).expect("JSON");
    }
    exporter.stop();
}

/// The exporter that is asked. It lives as long as the process.
fn asked() -> &'static Exporter {
    static ASKED: OnceLock<Exporter> = OnceLock::new();
    let start = || {
        Exporter::builder(Config::production())
            .without_server()
            .start()
    };
    ASKED.get_or_init(|| start().unwrap())
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

type Answer = warp::http::Response<warp::hyper::body::Bytes>;

async fn ask(exporter: &Exporter, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = warp::test::request().method(method).path(path);
    let request = request.extension(Peer(([127, 0, 0, 1], 9).into()));
    let with = |request: warp::test::RequestBuilder, (name, value): &(&str, &str)| {
        request.header(*name, *value)
    };
    let request = headers.iter().fold(request, with);
    request.reply(&exporter.routes()).await
}

/// A request: its line without the version, and headers.
pub fn request(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let (line, headers) = text.split_once('\n').unwrap_or((text, ""));
    let Some((method, path)) = line.split_once(' ') else {
        return;
    };
    let headers: Vec<_> = headers
        .lines()
        .filter_map(|line| line.split_once(": "))
        .collect();
    let is_fine = |(name, value): &(&str, &str)| {
        name.parse::<HeaderName>().is_ok() && value.parse::<HeaderValue>().is_ok()
    };
    let is_request = path.starts_with('/')
        && method.parse::<Method>().is_ok()
        && path.parse::<Uri>().is_ok()
        && headers.iter().all(is_fine);
    // That would change how this process is sampled.
    if !is_request || path.starts_with("/debug/sampling") {
        return;
    }
    let is_patient = path.starts_with("/debug/pprof/");
    let patience = Duration::from_millis(if is_patient { 20 } else { 60_000 });
    let answer = runtime().block_on(async {
        let answer = ask(asked(), method, path, &headers);
        tokio::time::timeout(patience, answer).await
    });
    let Ok(answer) = answer else {
        assert!(is_patient, "{line:?} took more than {patience:?}");
        return;
    };
    let status = answer.status().as_u16();
    let body = String::from_utf8_lossy(answer.body());
    assert!(
        matches!(
            status,
            200 | 201 | 400 | 403 | 404 | 405 | 409 | 429 | 501 | 503
        ),
        "{line:?}: {status}: {body}"
    );
    let kind = answer.headers().get("content-type");
    if kind.is_some_and(|kind| kind == "application/json") {
        let json = serde_json::from_str::<serde_json::Value>(&body).expect("JSON");
        for key in ["error", "detail", "help"] {
            // Health is 503 when it is bad.
            let is_said = matches!(status, 200 | 201 | 503) || json[key].is_string();
            assert!(is_said || method == "HEAD", "{line:?}: {key}: {body}");
        }
    }
}

/// Two lines, of the headers `Accept` and `Accept-Encoding`.
pub fn accept(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let (accept, encoding) = text.split_once('\n').unwrap_or((text, ""));
    if accept.parse::<HeaderValue>().is_err() || encoding.parse::<HeaderValue>().is_err() {
        return;
    }
    let headers = [("accept", accept), ("accept-encoding", encoding)];
    let answer = runtime().block_on(ask(asked(), "GET", "/metrics", &headers));
    assert_eq!(answer.status(), 200);
    let named = |text: &str, name: &str| text.to_ascii_lowercase().contains(name);
    let kind = answer.headers()["content-type"].to_str().unwrap();
    let is_open = kind.starts_with("application/openmetrics-text;");
    assert!(is_open || kind.starts_with("text/plain;"), "{kind}");
    assert!(!is_open || named(accept, "application/openmetrics-text"));
    let is_packed = answer.headers().contains_key("content-encoding");
    assert!(!is_packed || named(encoding, "gzip") || named(encoding, "*"));
    let mut body = Vec::new();
    let read = match is_packed {
        true => flate2::read::GzDecoder::new(&answer.body()[..]).read_to_end(&mut body),
        false => (&answer.body()[..]).read_to_end(&mut body),
    };
    read.unwrap();
    assert_eq!(is_open, body.ends_with(b"\n# EOF\n"));
}
