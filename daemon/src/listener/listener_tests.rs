use super::pace::Waiting;
use super::*;
use crate::tls::test_authority::{Authority, mutual};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Frame;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::DropGuard;

/// Long for anything on loopback.
const SOON: Duration = Duration::from_secs(5);

/// Answers with the path; a request for `/wait` once the test lets it.
#[derive(Clone)]
struct Echo {
    gate: watch::Receiver<bool>,
    under_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl App for Echo {
    type Body = Full<Bytes>;

    async fn call(&self, request: Request<Incoming>, peer: &Peer) -> Response<Full<Bytes>> {
        if request.uri().path() == "/wait" {
            let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            self.gate.clone().wait_for(|open| *open).await.expect("the test holds the gate");
            self.under_way.fetch_sub(1, Ordering::SeqCst);
        }
        let shown = peer.certificate.as_ref().map_or(0, |certificate| certificate.len());
        Response::new(Full::from(format!("{} {shown}", request.uri().path())))
    }
}

struct Served {
    address: SocketAddr,
    gate: watch::Sender<bool>,
    app: Echo,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
    traffic: Traffic,
}

async fn served(options: Options) -> Served {
    let (gate, receiver) = watch::channel(false);
    let app = Echo { gate: receiver, under_way: Arc::default(), most: Arc::default() };
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = socket.local_addr().expect("it is bound");
    let traffic = Traffic::register(&Registry::new()).expect("the names are free");
    let stop = CancellationToken::new();
    let ended = tokio::spawn(serve(socket, app.clone(), options, traffic.clone(), stop.clone()));
    Served { address, gate, app, stop, ended, traffic }
}

impl Served {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the socket listens")
    }

    async fn http2(&self) -> http2::SendRequest<Empty<Bytes>> {
        let io = TokioIo::new(self.connect().await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        tokio::spawn(connection);
        sender
    }
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://member{path}")).body(Empty::new()).expect("a request")
}

async fn text(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.expect("whole").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

/// Whether the other side closes without being asked.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    matches!(timeout(SOON, stream.read_to_end(&mut rest)).await, Ok(Ok(_) | Err(_)))
}

#[tokio::test]
async fn one_port_speaks_http1_and_http2() {
    let served = served(Options::default()).await;
    let response = served.http2().await.send_request(get("/two")).await.expect("answered");
    assert_eq!(text(response).await, "/two 0");
    let io = TokioIo::new(served.connect().await);
    let (mut sender, connection) = http1::handshake(io).await.expect("HTTP/1");
    tokio::spawn(connection);
    for _ in 0..2 {
        let response = sender.send_request(get("/one")).await.expect("answered");
        assert_eq!(text(response).await, "/one 0");
    }
    assert!(served.traffic.received.get() > 0 && served.traffic.sent.get() > 0);
}

#[tokio::test]
async fn a_client_that_stays_silent_is_gone_after_its_time() {
    let options = Options { opening_max: Duration::from_millis(50), ..Options::default() };
    let served = served(options).await;
    assert!(is_closed(&mut served.connect().await).await, "nothing said");
    let mut half = served.connect().await;
    half.write_all(b"PRI * HT").await.expect("open");
    assert!(is_closed(&mut half).await, "half a preface");
    let mut head = served.connect().await;
    head.write_all(b"GET / HTTP/1.1\r\nHost").await.expect("open");
    assert!(is_closed(&mut head).await, "half a head");
}

#[tokio::test]
async fn an_idle_client_that_has_spoken_may_stay() {
    let options = Options { opening_max: Duration::from_millis(50), ..Options::default() };
    let served = served(options).await;
    let mut sender = served.http2().await;
    // One that came later and stays silent is gone: so the time of the first one is over too.
    assert!(is_closed(&mut served.connect().await).await);
    assert_eq!(text(sender.send_request(get("/late")).await.expect("answered")).await, "/late 0");
}

#[tokio::test]
async fn connections_have_a_limit_and_make_room_when_they_close() {
    let served = served(Options { connections_max: 2, ..Options::default() }).await;
    let (mut first, mut second) = (served.http2().await, served.http2().await);
    first.send_request(get("/")).await.expect("answered");
    second.send_request(get("/")).await.expect("answered");
    assert!(is_closed(&mut served.connect().await).await);
    drop(first);
    let room = async {
        loop {
            let io = TokioIo::new(served.connect().await);
            let Ok((mut sender, connection)) = http2::handshake(TokioExecutor::new(), io).await else { continue };
            tokio::spawn(connection);
            if sender.send_request(get("/")).await.is_ok() {
                return;
            }
        }
    };
    timeout(SOON, room).await.expect("a place came free");
}

#[tokio::test]
async fn streams_of_one_connection_have_a_limit() {
    let served = served(Options { streams_max: 4, ..Options::default() }).await;
    let mut sender = served.http2().await;
    sender.send_request(get("/settled")).await.expect("answered");
    let requests: Vec<_> = (0..20).map(|_| tokio::spawn(sender.send_request(get("/wait")))).collect();
    while served.app.under_way.load(Ordering::SeqCst) < 4 {
        tokio::task::yield_now().await;
    }
    // Whatever else could begin has begun by the time another client was answered as often.
    let mut other = served.http2().await;
    for _ in 0..requests.len() {
        other.send_request(get("/other")).await.expect("answered");
    }
    served.gate.send_replace(true);
    for request in requests {
        assert!(request.await.expect("no panic").is_ok());
    }
    assert_eq!(served.app.most.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn hundreds_that_come_at_once_find_a_place_to_wait() {
    let socket = listen("127.0.0.1:0".parse().expect("an address")).expect("loopback has a free port");
    let address = socket.local_addr().expect("it is bound");
    let mut held = Vec::new();
    // Nobody accepts any of them.
    while held.len() < 500 {
        let waits = std::net::TcpStream::connect_timeout(&address, SOON);
        held.push(waits.unwrap_or_else(|error| panic!("only {} found a place: {error}", held.len())));
    }
}

/// Answers with more than any socket takes, piece by piece. The token is cancelled when the answer is given up.
#[derive(Clone)]
struct Endless(CancellationToken);

struct Pieces {
    waiting: Waiting,
    _given_up: DropGuard,
}

impl App for Endless {
    type Body = Pieces;

    async fn call(&self, _: Request<Incoming>, peer: &Peer) -> Response<Pieces> {
        Response::new(Pieces { waiting: peer.pace.wait(), _given_up: self.0.clone().drop_guard() })
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.waiting.goes_on();
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; 1 << 16])))))
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_gone_after_its_time() {
    let options = Options { stall_max: Duration::from_secs(1), ..Options::default() };
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = socket.local_addr().expect("it is bound");
    let (traffic, stop) = (Traffic::register(&Registry::new()).expect("the names are free"), CancellationToken::new());
    let given_up = CancellationToken::new();
    let app = Endless(given_up.clone());
    let ended = tokio::spawn(serve(socket, app, options, traffic.clone(), stop.clone()));
    let mut stream = TcpStream::connect(address).await.expect("the socket listens");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: member\r\n\r\n").await.expect("it listens");
    timeout(SOON, given_up.cancelled()).await.expect("the connection has ended");
    assert!(traffic.sent.get() > 1 << 16, "it was being answered");
    stop.cancel();
    timeout(SOON, ended).await.expect("nobody is waited for").expect("no panic");
}

#[tokio::test]
async fn headers_have_a_limit() {
    let served = served(Options::default()).await;
    let with = |bytes: usize| {
        let mut request = get("/");
        request.headers_mut().insert("x", "v".repeat(bytes).parse().expect("a header"));
        request
    };
    let mut sender = served.http2().await;
    assert_eq!(sender.send_request(with(15 * 1024)).await.expect("answered").status(), 200);
    let large = served.http2().await.send_request(with(17 * 1024)).await;
    assert!(large.is_err() || large.is_ok_and(|response| response.status() == 431));
    assert_eq!(sender.send_request(get("/")).await.expect("others go on").status(), 200);
    let mut http1 = served.connect().await;
    http1.write_all(format!("GET / HTTP/1.1\r\nHost: m\r\nX: {}\r\n", "v".repeat(17 * 1024)).as_bytes()).await.ok();
    assert!(is_closed(&mut http1).await);
}

#[tokio::test]
async fn a_flood_of_pings_ends_the_connection() {
    let served = served(Options::default()).await;
    let mut stream = served.connect().await;
    let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("open");
    stream.write_all(&ping.repeat(100)).await.expect("open");
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn a_stop_lets_what_is_under_way_finish_and_takes_nothing_new() {
    let served = served(Options::default()).await;
    let mut sender = served.http2().await;
    let waiting = tokio::spawn(sender.send_request(get("/wait")));
    while served.app.under_way.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    served.stop.cancel();
    while TcpStream::connect(served.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!served.ended.is_finished());
    served.gate.send_replace(true);
    let response = waiting.await.expect("no panic").expect("it may finish");
    assert_eq!(text(response).await, "/wait 0");
    drop(sender);
    timeout(SOON, served.ended).await.expect("all is closed").expect("no panic");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let served = served(Options { drain_max: Duration::from_millis(50), ..Options::default() }).await;
    let mut sender = served.http2().await;
    let waiting = tokio::spawn(sender.send_request(get("/wait")));
    while served.app.under_way.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    served.stop.cancel();
    timeout(SOON, served.ended).await.expect("the drain time is over").expect("no panic");
    assert!(waiting.await.expect("no panic").is_err());
}

#[tokio::test]
async fn tls_is_spoken_and_shows_who_is_there() {
    crate::tls::install_provider();
    let directory = tempfile::tempdir().expect("a directory");
    let authority = Authority::new("authority");
    let pair = authority.leaf("member", &["localhost"]).save(directory.path(), "member");
    let ca = authority.save(directory.path(), "authority");
    let settings = mutual(pair, ca.clone());
    let tls = ServerTls::new(&settings, crate::tls::ALPN_CLIENTS).expect("good files");
    let opening_max = Duration::from_millis(500);
    let served = served(Options { tls: Some(tls), opening_max, ..Options::default() }).await;

    let mut silent = served.connect().await;
    assert!(is_closed(&mut silent).await, "a handshake that does not come");

    let client = authority.leaf("client", &[]);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&ca).expect("just written")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(client.key.as_bytes()).expect("a key");
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![client.der()], key)
        .expect("they go together");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, served.connect().await).await.expect("a handshake");
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2 over TLS");
    tokio::spawn(connection);
    let response = sender.send_request(get("/tls")).await.expect("answered");
    assert_eq!(text(response).await, format!("/tls {}", client.der().len()));
}
