//! TLS by the web configuration file: certificates of both sides, versions, who speaks something else, and changes while the server runs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, NamedGroup, ProtocolVersion, RootCertStore,
    StreamOwned, SupportedProtocolVersion,
};

use crate::client::{connect, send};
use crate::pki::{Authority, Signed};
use crate::web::{Folder, request, status, users};

/// `client_auth_type` that lets only in who has a certificate of the authority.
const VERIFIED: &str = ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt";

/// A folder whose server is known by `authority`, with more keys in its section.
fn folder(authority: &Authority, more: &str) -> Folder {
    let folder = Folder::with(&section(more));
    write_pair(&folder, &authority.sign("127.0.0.1"));
    folder.write("ca.crt", &authority.certificate.pem());
    folder
}

fn section(more: &str) -> String {
    format!("tls_server_config: {{cert_file: server.crt, key_file: server.key{more}}}\n")
}

fn write_pair(folder: &Folder, pair: &Signed) {
    folder.write("server.crt", &pair.certificate.pem());
    folder.write("server.key", &pair.key.serialize_pem());
}

/// A client that trusts an authority.
struct Client {
    authority: CertificateDer<'static>,
    identity: Option<(CertificateDer<'static>, Vec<u8>)>,
    versions: Vec<&'static SupportedProtocolVersion>,
}

impl Client {
    fn of(authority: &Authority) -> Self {
        Self {
            authority: authority.certificate.der().clone(),
            identity: None,
            versions: vec![&TLS13, &TLS12],
        }
    }

    fn with(authority: &Authority, own: &Signed) -> Self {
        let identity = (own.certificate.der().clone(), own.key.serialize_der());
        Self {
            identity: Some(identity),
            ..Self::of(authority)
        }
    }

    fn speaking(authority: &Authority, version: &'static SupportedProtocolVersion) -> Self {
        Self {
            versions: vec![version],
            ..Self::of(authority)
        }
    }

    fn connect(&self, address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::try_from(key.clone()).unwrap();
                let chain = vec![certificate.clone()];
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(session, connect(address))
    }

    /// A connection whose handshake is done.
    fn shake_hands(&self, address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
        let mut stream = self.connect(address);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        stream
    }

    /// Sends a request, and reads until the server closes.
    fn ask(&self, address: SocketAddr, request: &str) -> Result<String, String> {
        let mut stream = self.connect(address);
        let mut answer = Vec::new();
        let read = stream
            .write_all(request.as_bytes())
            .and_then(|()| stream.read_to_end(&mut answer));
        read.map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// The status of `GET /metrics`, or why there is none.
    fn scrape(&self, address: SocketAddr) -> Result<String, String> {
        let answer = self.ask(address, &request("GET", "/metrics", &[]))?;
        Ok(status(&answer).to_owned())
    }
}

fn ok() -> Result<String, String> {
    Ok("200".to_owned())
}

#[test]
fn tls_is_spoken_and_nothing_else() {
    let authority = Authority::new();
    let folder = folder(&authority, "");
    let (_exporter, address) = folder.served(|_| {});
    assert_eq!(Client::of(&authority).scrape(address), ok());
    let stranger = Client::of(&Authority::new()).scrape(address).unwrap_err();
    assert!(stranger.contains("invalid peer certificate"), "{stranger}");
    let plain = send(address, request("GET", "/metrics", &[]).as_bytes());
    assert_eq!(
        plain,
        "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
    );
    assert_eq!(send(address, b"\x00nonsense"), "");
    let stream = Client::of(&authority).shake_hands(address);
    assert_eq!(stream.conn.alpn_protocol(), Some(b"http/1.1".as_slice()));
}

#[test]
fn users_are_asked_for_behind_tls_too() {
    let authority = Authority::new();
    let folder = folder(&authority, "");
    let web = section("") + &users(&[("ada", "right")]);
    folder.write("web.yml", &web);
    let (_exporter, address) = folder.served(|_| {});
    let client = Client::of(&authority);
    assert_eq!(client.scrape(address), Ok("401".to_owned()));
    let known = [("authorization", "Basic YWRhOnJpZ2h0")];
    let answer = client.ask(address, &request("GET", "/metrics", &known));
    assert_eq!(status(&answer.unwrap()), "200");
}

#[test]
fn versions_suites_and_curves_are_as_configured() {
    let authority = Authority::new();
    let folder = folder(&authority, ", min_version: TLS13");
    let (_exporter, address) = folder.served(|_| {});
    let old = Client::speaking(&authority, &TLS12);
    let new = Client::speaking(&authority, &TLS13);
    assert_eq!(new.scrape(address), ok());
    let refused = old.scrape(address).unwrap_err();
    assert!(refused.contains("ProtocolVersion"), "{refused}");

    // Clients like AES-256 best.
    const WEAK: &str = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    const STRONG: &str = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    for (more, suite, group) in [
        (
            format!("[{WEAK}, {STRONG}]"),
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            NamedGroup::X25519,
        ),
        (
            format!("[{WEAK}, {STRONG}], prefer_server_cipher_suites: false"),
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            NamedGroup::X25519,
        ),
        (
            format!("[{WEAK}], curve_preferences: [CurveP384]"),
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            NamedGroup::secp384r1,
        ),
    ] {
        let section = section(&format!(", max_version: TLS12, cipher_suites: {more}"));
        folder.write("web.yml", &section);
        let stream = Client::of(&authority).shake_hands(address);
        let agreed = (
            stream.conn.protocol_version().unwrap(),
            stream.conn.negotiated_cipher_suite().unwrap().suite(),
            stream.conn.negotiated_key_exchange_group().unwrap().name(),
        );
        assert_eq!(agreed, (ProtocolVersion::TLSv1_2, suite, group), "{more}");
    }
    assert!(new.scrape(address).is_err());
}

#[test]
fn certificates_of_clients_are_asked_for_as_configured() {
    let (authority, other) = (Authority::new(), Authority::new());
    let folder = folder(&authority, "");
    let (_exporter, address) = folder.served(|_| {});
    let mut clients = [
        Client::of(&authority),
        Client::with(&authority, &authority.sign("prometheus")),
        Client::with(&authority, &other.sign("prometheus")),
        Client::with(&authority, &authority.sign_expired("prometheus")),
    ];
    // None, one of ours, one of others, one of ours that is too old.
    for (auth, expected) in [
        ("NoClientCert", [true, true, true, true]),
        ("RequestClientCert", [true, true, true, true]),
        ("RequireAnyClientCert", [false, true, true, true]),
        ("RequireClientCert", [false, true, true, true]),
        ("VerifyClientCertIfGiven", [true, true, false, false]),
        ("RequireAndVerifyClientCert", [false, true, false, false]),
    ] {
        let ca = match auth.contains("Verify") {
            true => ", client_ca_file: ca.crt",
            false => "",
        };
        folder.write(
            "web.yml",
            &section(&format!(", client_auth_type: {auth}{ca}")),
        );
        for version in [&TLS12, &TLS13] {
            for (at, client) in clients.iter_mut().enumerate() {
                client.versions = vec![version];
                let answer = client.scrape(address);
                assert_eq!(
                    answer.is_ok(),
                    expected[at],
                    "{auth}, client {at}, {version:?}: {answer:?}"
                );
            }
        }
    }
}

#[test]
fn only_clients_of_these_names_are_let_in() {
    let authority = Authority::new();
    let folder = folder(&authority, "");
    let (_exporter, address) = folder.served(|_| {});
    for auth in [", client_auth_type: RequireAnyClientCert", VERIFIED] {
        let names = ", client_allowed_sans: [prometheus.example.org, 10.0.0.1]";
        folder.write("web.yml", &section(&format!("{auth}{names}")));
        for (name, expected) in [
            ("prometheus.example.org", true),
            ("10.0.0.1", true),
            ("*.example.org", false),
            ("10.0.0.2", false),
        ] {
            let answer = Client::with(&authority, &authority.sign(name)).scrape(address);
            assert_eq!(answer.is_ok(), expected, "{auth}, {name}: {answer:?}");
        }
        assert!(Client::of(&authority).scrape(address).is_err(), "{auth}");
    }
}

/// Whoever has a certificate that is verified is known, and nobody else is.
#[test]
fn a_verified_certificate_is_as_good_as_a_password() {
    let authority = Authority::new();
    let folder = folder(&authority, "");
    let (_exporter, address) = folder.served(|_| {});
    let client = Client::with(&authority, &authority.sign("prometheus"));
    let name = [("host", "shop-1.example.org:10113")];
    let leaks = request("GET", "/metrics/memory/leaks", &name);
    for (more, expected) in [
        ("", "403"),
        (", client_auth_type: RequestClientCert", "403"),
        (", client_auth_type: RequireAnyClientCert", "403"),
        (
            ", client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.crt",
            "403",
        ),
        (VERIFIED, "200"),
    ] {
        folder.write("web.yml", &section(more));
        let answer = client.ask(address, &leaks).unwrap();
        assert_eq!(status(&answer), expected, "{more}");
    }
    // Where there are users too, the password counts.
    let both = section(VERIFIED) + &users(&[("ada", "right")]);
    folder.write("web.yml", &both);
    assert_eq!(status(&client.ask(address, &leaks).unwrap()), "401");
}

#[test]
fn a_certificate_rotates_without_a_restart() {
    let authority = Authority::new();
    let folder = folder(&authority, "");
    let (_exporter, address) = folder.served(|_| {});
    let served = || {
        let stream = Client::of(&authority).shake_hands(address);
        let served = stream.conn.peer_certificates().unwrap()[0].to_vec();
        (stream, served)
    };
    let (mut kept, first) = served();
    let mut is_closed = || {
        let request = b"GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n";
        kept.write_all(request).unwrap();
        let mut answer = String::new();
        while !answer.ends_with("healthy\n") {
            let mut bytes = [0; 400];
            let read = kept.read(&mut bytes).unwrap();
            assert!(read > 0, "{answer}");
            answer.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        answer.contains("\r\nconnection: close\r\n")
    };
    assert!(!is_closed());
    let second = authority.sign("127.0.0.1");
    // One half of it is no pair: the old one stays.
    folder.write("server.crt", &second.certificate.pem());
    assert_eq!(served().1, first);
    write_pair(&folder, &second);
    assert_eq!(served().1, second.certificate.der().to_vec());
    // Who came in by the old one is to come again.
    assert!(is_closed());
}

#[test]
fn tls_is_switched_on_while_the_server_runs_and_not_off() {
    let authority = Authority::new();
    let folder = folder(&authority, "");
    folder.write("web.yml", "basic_auth_users: {}\n");
    let (_exporter, address) = folder.served(|_| {});
    let plain = || status(&send(address, request("GET", "/metrics", &[]).as_bytes())).to_owned();
    assert_eq!(plain(), "200");
    for web in [section("").as_str(), "basic_auth_users: {}\n"] {
        folder.write("web.yml", web);
        assert_eq!(plain(), "400", "{web}");
        assert_eq!(Client::of(&authority).scrape(address), ok(), "{web}");
    }
}

#[test]
fn a_client_that_never_ends_its_handshake_is_cut_off() {
    let authority = Authority::new();
    let folder = folder(&authority, "");
    let (_exporter, address) =
        folder.served(|config| config.web.header_timeout = Duration::from_secs(1));
    let waiting = [b"".as_slice(), b"\x16", b"\x16\x03\x01\x02\x00\x01"].map(|half| {
        std::thread::spawn(move || {
            let start = Instant::now();
            let mut stream = connect(address);
            stream.write_all(half).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
            start.elapsed()
        })
    });
    for one in waiting {
        let waited = one.join().unwrap();
        assert!(
            (Duration::from_millis(900)..Duration::from_secs(10)).contains(&waited),
            "{waited:?}"
        );
    }
}

/// A handshake takes a place: who never ends it loses the place to who comes.
#[test]
fn connections_without_a_handshake_count() {
    let authority = Authority::new();
    let folder = folder(&authority, "");
    let (_exporter, address) = folder.served(|config| config.web.max_connections = 4);
    let mut silent: Vec<TcpStream> = (0..8).map(|_| connect(address)).collect();
    for stream in &mut silent {
        stream.write_all(b"\x16\x03\x01").unwrap();
    }
    assert_eq!(Client::of(&authority).scrape(address), ok());
    let closed = silent.iter_mut().filter(|stream| {
        let little = Some(Duration::from_millis(100));
        stream.set_read_timeout(little).unwrap();
        let mut stream: &TcpStream = stream;
        stream.read(&mut [0]).map_or_else(
            |error| error.kind() == std::io::ErrorKind::ConnectionReset,
            |_| true,
        )
    });
    assert_eq!(closed.count(), 5);
}
