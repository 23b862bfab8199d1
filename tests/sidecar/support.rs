//! A hand-made snapshot, a sidecar on a random port, and a client that can misbehave.

use dataflows::{
    event::Status,
    names::Names,
    registry::Registry,
    series::{Announcement, Deltas, Pair},
    settings::Settings,
    time::{Epoch, StreamTime},
};
use gocdnext_flow::{
    config::Config,
    http::{self, HttpState},
    published::Published,
};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{runtime::Runtime, sync::oneshot, task::JoinHandle};

pub const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
pub const TRACE_HEX: &str = "0af7651916cd43dd8448eb211c80319c";
/// A wait for another program that has no event to wait for; far beyond what it needs.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// One pipeline with three dispatches, one of which took 7.25 s, and a slug that needs escapes.
pub fn published() -> Arc<Published> {
    let names = Names::new(100);
    let settings = Settings::default();
    let mut deltas = Deltas::new(&settings);
    let pair = Pair { project: 1, pipeline: 2 };
    let slug = names.intern("deploy \"prod\"\\eu\nnow");
    deltas.announce(pair, Announcement { time: 0, tie: 0, slug });
    deltas.jobs_scheduled.insert(pair, 3);
    deltas.jobs_running = 2;
    deltas.job_duration[Status::Success as usize].observe(&settings.duration_buckets_ms, 7_250, TRACE);
    deltas.job_queue.observe(&settings.queue_buckets_ms, 1_234, TRACE);
    let snapshot = Registry::new(&settings).fold(Epoch(7), StreamTime(1_700_000_000_000), deltas);
    let published = Published::new(names);
    published.own.committed_epoch.store(7, Ordering::Relaxed);
    published.own.committed_at_ms.store(1_700_000_000_500, Ordering::Relaxed);
    published.own.stream_time_ms.store(1_700_000_000_000, Ordering::Relaxed);
    published.snapshot.store(Some(Arc::new(snapshot)));
    published
}

/// A sidecar that runs until it is dropped or ended.
pub struct Server {
    pub address: SocketAddr,
    runtime: Runtime,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
}

impl Server {
    pub fn start(config: &Config) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(http::bind("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let state = HttpState::new(published(), config);
        let serving = runtime.spawn(http::serve(listener, state, async {
            let _ = stopped.await;
        }));
        Self { address, runtime, stop, serving }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    pub fn get(&self, path: &str, headers: &str) -> Answer {
        self.connect().ask(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n"))
    }

    /// Asks it to end, and waits until it has.
    pub fn end(self) -> io::Result<()> {
        let _ = self.stop.send(());
        self.runtime.block_on(self.serving).unwrap()
    }
}

/// A connection on which anything can be written.
pub struct Client(pub TcpStream);

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Writes the request, reads until the connection closes.
    pub fn ask(mut self, request: &str) -> Answer {
        self.0.write_all(request.as_bytes()).unwrap();
        Answer::read(&self.rest().unwrap())
    }

    /// Everything until the other side closes the connection.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// An answer, as far as tests look at it.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8_lossy(&bytes[..end]);
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Self { status, body: bytes[end + 4..].to_vec() }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}
