//! Connections: how many, how long, and how they end.
//!
//! What must stay true (I6): at most `http_max_connections` are served; one that is beyond waits in line, and while
//! one waits, those before it get no further request on their connection and at most `http_timeout` to finish; those that
//! have not asked anything yet, a second. Who does not take a large answer within `http_timeout` is cut off ([`super::texts`]).
//! So neither idle, nor slow, nor stuck clients keep `/healthz` from being answered in the end.

use super::{HttpState, Limits, app, texts::OnItsWay};
use axum::{Router, http::Request, response::Response};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::ServiceExt as _;

/// How many timeouts long a connection may live, so that a client that reads forever does end.
const LIFETIME_IN_TIMEOUTS: u32 = 6;
/// What a new connection has to send its first request while another waits for its slot.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);
/// After an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// The least hyper takes as a buffer.
const LEAST_HEADER_BYTES: usize = 8_192;

/// Serves until `shutdown` is ready, then lets requests in flight finish for less than 5 s.
pub async fn serve(
    listener: TcpListener,
    state: HttpState,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let limits = state.limits;
    serve_router(listener, app(state), limits, shutdown).await
}

/// As [`serve`], whatever is served.
pub(super) async fn serve_router(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let mut server = Server::new(app, limits);
    let mut shutdown = pin!(shutdown);
    let result = loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => tokio::select! {
                () = &mut shutdown => break Ok(()),
                () = server.take(stream) => {}
            },
            Err(error) if is_of_one_connection(&error) => {}
            // a shortage (`EMFILE`), a network that is down, a firewall: nothing of it is worth the series
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    };
    drop(listener);
    server.end().await;
    result
}

struct Server {
    app: Router,
    limits: Limits,
    slots: Arc<Semaphore>,
    connections: JoinSet<()>,
    /// Its next value asks the connections that are open by then to end.
    leave: watch::Sender<Leave>,
}

/// Why a connection is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// Another waits for its slot.
    Room,
    /// The server ends.
    End,
}

impl Server {
    fn new(app: Router, limits: Limits) -> Self {
        Self {
            app,
            limits,
            slots: Arc::new(Semaphore::new(limits.connections)),
            connections: JoinSet::new(),
            leave: watch::Sender::new(Leave::Room),
        }
    }

    /// Serves one more, as soon as there is a slot.
    async fn take(&mut self, stream: TcpStream) {
        if self.slots.available_permits() == 0 {
            self.leave.send_replace(Leave::Room);
        }
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
            return;
        };
        while self.connections.try_join_next().is_some() {}
        let serving = connection(stream, self.app.clone(), self.limits, self.leave.subscribe(), slot);
        self.connections.spawn(serving);
    }

    async fn end(mut self) {
        self.leave.send_replace(Leave::End);
        let all_ended = async { while self.connections.join_next().await.is_some() {} };
        if timeout(self.limits.end_grace, all_ended).await.is_err() {
            tracing::warn!(connections = self.connections.len(), "ended with requests still in flight");
        }
    }
}

/// One connection from its first byte to its last.
async fn connection(
    stream: TcpStream,
    app: Router,
    limits: Limits,
    mut leave: watch::Receiver<Leave>,
    _slot: OwnedSemaphorePermit,
) {
    let (asks, mut asked) = watch::channel(false);
    let (sends, sent) = watch::channel(None);
    let app = app.map_request(move |request: Request<Incoming>| {
        asks.send_replace(true);
        request
    });
    let app = app.map_response(move |response: Response| {
        if let Some(text) = response.extensions().get::<OnItsWay>() {
            sends.send_replace(Some(text.clone()));
        }
        response
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.timeout)
        .max_buf_size(limits.request_bytes.max(LEAST_HEADER_BYTES))
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut serving = pin!(serving);
    tokio::select! {
        ended = serving.as_mut() => return log_end(ended),
        () = not_taken(sent, limits.timeout) => return tracing::debug!("an answer was not taken in time"),
        _ = leave.changed() => {}
        () = sleep(limits.timeout * LIFETIME_IN_TIMEOUTS) => {}
    }
    let ending = *leave.borrow() == Leave::End;
    if ending && !*asked.borrow() {
        return;
    }
    // hyper would close a connection that it has not read from yet, and leave a request on its way unanswered
    tokio::select! {
        ended = serving.as_mut() => return log_end(ended),
        _ = asked.changed() => {}
        () = sleep(limits.timeout.min(FIRST_REQUEST_GRACE)) => {}
    }
    // a client that sends a byte a second would keep its slot for the whole time-out, and the next one after it
    if !*asked.borrow() {
        return;
    }
    serving.as_mut().graceful_shutdown();
    if let Ok(ended) = timeout(limits.timeout, serving).await {
        log_end(ended);
    }
}

/// Ready once a text was not taken within this.
async fn not_taken(mut sent: watch::Receiver<Option<OnItsWay>>, within: Duration) {
    while sent.changed().await.is_ok() {
        let text = sent.borrow_and_update().clone();
        sleep(within).await;
        if text.is_some_and(|text| !text.is_taken()) {
            return;
        }
    }
    // no more answers: the connection ends otherwise
    std::future::pending::<()>().await;
}

/// What a client does wrong is its own matter: seen only by who looks for it.
fn log_end(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
