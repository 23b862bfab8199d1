//! Connections over real sockets: slow ones, many, and the end.

use super::*;
use crate::http::{
    BindError, app, bind, bounded,
    connections::serve_router,
    texts::{ROOM, Texts},
};
use axum::{Extension, Router, routing::get};
use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{Notify, oneshot},
    task::JoinHandle,
};

/// Longer than any test: what is not cut by another rule hangs.
const LONG: Duration = Duration::from_hours(1);
const SHORT: Duration = Duration::from_millis(100);

struct Served {
    addr: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    ended: JoinHandle<io::Result<()>>,
}

async fn serve(router: Router, limits: Limits) -> Served {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (end, asked) = oneshot::channel();
    let shutdown = async move {
        let _ = asked.await;
    };
    let ended = tokio::spawn(serve_router(listener, router, limits, shutdown));
    Served { addr, end: Some(end), ended }
}

impl Served {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    async fn open_with(&self, bytes: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream
    }

    /// One request on a connection of its own.
    async fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        rest_of(self.open_with(&request).await).await
    }

    /// A connection on which one request was answered and that is kept alive.
    async fn kept_alive(&self) -> TcpStream {
        let mut stream = self.open_with("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        stream
    }

    async fn end(mut self) {
        let _ = self.end.take().unwrap().send(());
        self.ended.await.unwrap().unwrap();
    }
}

/// Everything until the server closes.
async fn rest_of(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_slow_client_is_cut() {
    let served = serve(app(state()), limits(8, SHORT)).await;
    let half = served.open_with("GET /healthz HTTP/1.1\r\nhost:").await;
    let silent = served.connect().await;
    let kept_alive = served.kept_alive().await;
    assert_eq!(rest_of(half).await, "");
    assert_eq!(rest_of(silent).await, "");
    assert_eq!(rest_of(kept_alive).await, "");
    served.end().await;
}

#[tokio::test]
async fn huge_headers_are_refused() {
    let served = serve(app(state()), limits(8, LONG)).await;
    let huge = "x".repeat(2 * Config::default().http_max_request_bytes);
    let (mut reads, mut writes) = served.connect().await.into_split();
    let request = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nhuge: {huge}\r\n\r\n");
    // the server may close before it has read all
    let writing = tokio::spawn(async move { writes.write_all(request.as_bytes()).await.map(|()| writes) });
    let mut status = [0; 12];
    reads.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 431");
    let _ = writing.await;
    let many = "x: y\r\n".repeat(200);
    let stream = served.open_with(&format!("GET /healthz HTTP/1.1\r\n{many}\r\n")).await;
    assert!(rest_of(stream).await.starts_with("HTTP/1.1 431"));
    served.end().await;
}

#[tokio::test]
async fn idle_connections_make_room() {
    let served = serve(app(state()), limits(2, LONG)).await;
    let (first, second) = (served.kept_alive().await, served.kept_alive().await);
    assert!(served.get("/healthz").await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest_of(first).await, "", "closed for the one in line");
    assert_eq!(rest_of(second).await, "");
    served.end().await;
}

#[tokio::test]
async fn many_silent_connections_do_not_starve_a_probe() {
    let served = serve(app(state()), limits(2, SHORT)).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(served.connect().await);
    }
    assert!(served.get("/healthz").await.starts_with("HTTP/1.1 200"));
    drop(silent);
    served.end().await;
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_keep_its_slot() {
    let body = "x".repeat(64 << 20);
    let paths = Router::new().route("/large", get(async move || body.clone())).route("/", get(async || "here"));
    let limits = limits(1, SHORT);
    let served = serve(bounded(paths, limits), limits).await;
    let mut stuck = served.open_with("GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await;
    stuck.read_u8().await.unwrap();
    assert!(served.get("/").await.ends_with("here"));
    drop(stuck);
    served.end().await;
}

/// Tells when its request has arrived, answers when told to.
fn gated() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&arrived), Arc::clone(&go));
    let handler = async move || {
        tell.notify_one();
        wait.notified().await;
        "answered"
    };
    (Router::new().route("/gated", get(handler)), arrived, go)
}

#[tokio::test]
async fn the_end_waits_for_requests_in_flight_and_for_nothing_else() {
    let (router, arrived, go) = gated();
    let served = serve(router, limits(8, LONG)).await;
    let in_flight = served.open_with("GET /gated HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let silent = served.connect().await;
    arrived.notified().await;
    let addr = served.addr;
    let ending = tokio::spawn(served.end());
    assert_eq!(rest_of(silent).await, "", "it does not wait for who has asked nothing");
    assert!(!ending.is_finished(), "it waits for the request");
    go.notify_one();
    assert!(rest_of(in_flight).await.ends_with("answered"));
    ending.await.unwrap();
    assert!(TcpStream::connect(addr).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn the_end_comes_even_if_a_request_never_does() {
    let (router, arrived, _never) = gated();
    let served = serve(router, Limits { end_grace: SHORT, ..limits(8, LONG) }).await;
    let in_flight = served.open_with("GET /gated HTTP/1.1\r\nhost: x\r\n\r\n").await;
    arrived.notified().await;
    served.end().await;
    assert_eq!(rest_of(in_flight).await, "");
}

#[tokio::test]
async fn a_port_in_use_is_said_clearly() {
    let first = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let addr = first.local_addr().unwrap();
    let error = bind(addr).await.unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }));
    let expected = format!(
        "cannot listen on {addr}: the address is in use by another process; stop it or choose another with --listen"
    );
    assert_eq!(error.to_string(), expected);
    let error = bind(SocketAddr::from(([192, 0, 2, 1], 0))).await.unwrap_err();
    assert!(matches!(error, BindError::NoSuchAddress { .. }), "{error}");
}

/// Far more than sockets buffer.
const LARGE: usize = 32 << 20;

fn large_texts() -> Router {
    let texts = Texts::default();
    let large = async move || {
        let (body, on_its_way) = texts.place().await.unwrap().keep("x".repeat(LARGE));
        (Extension(on_its_way), body)
    };
    Router::new().route("/large", get(large))
}

#[tokio::test]
async fn who_does_not_take_a_text_is_cut_off_and_others_get_their_place() {
    let served = serve(bounded(large_texts(), limits(64, LONG)), limits(64, SHORT * 30)).await;
    let mut stuck = Vec::new();
    for _ in 0..ROOM {
        stuck.push(served.open_with("GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await);
    }
    for stream in &stuck {
        stream.readable().await.unwrap();
    }
    let answer = served.get("/large").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.len() > LARGE, "{} bytes", answer.len());
    // the place came from one of them; others may read on in time
    let mut cut_off = 0;
    for stream in stuck {
        cut_off += usize::from(rest_of(stream).await.len() < LARGE);
    }
    assert!(cut_off > 0, "one was cut off");
    served.end().await;
}
