//! What thousands of connections cost in memory: a measurement on the real program, which judges only that every scrape is
//! answered whole. `./dev torture --crowd SECONDS`.

use crate::{
    kafka::{broker, producer, run_queued, send},
    life::Life,
    support::http,
};
use rdkafka::{message::OwnedHeaders, producer::Producer};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread::{Scope, sleep},
    time::{Duration, Instant},
};

/// Each is two series: its dispatches and its name.
const PIPELINES: u64 = 50_000;
const PIPELINES_OF_A_PROJECT: u64 = 50;
const EACH: usize = 3_000;
const SCRAPERS: usize = 50;
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

fn queued(number: u64) -> String {
    let (project, pipeline) = (number / PIPELINES_OF_A_PROJECT, number);
    run_queued(number, crate::kafka::TIME)
        .replace("5b0c1f0e-7f64-4c57-9f0a-5d0a3c6a1b01", &format!("00000000-0000-0000-0001-{project:012x}"))
        .replace("8a3f2d54-0b7e-4a0e-8a51-0d6c9e3f7c02", &format!("00000000-0000-0000-0002-{pipeline:012x}"))
}

/// What a client does with its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    Idle,
    /// A byte of a header now and then.
    Slow,
    /// Asks for the series and does not read them.
    Stuck,
}

impl Client {
    fn open(self, address: SocketAddr) -> Option<TcpStream> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok()?;
        stream.set_nonblocking(true).ok()?;
        let head: &[u8] = match self {
            Self::Idle => b"",
            Self::Slow => b"GET /metrics HTTP/1.1\r\nhost: x\r\nslow: ",
            Self::Stuck => b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n",
        };
        stream.write_all(head).ok().map(|()| stream)
    }

    /// Whether the connection is still there.
    fn lives(self, stream: &mut TcpStream) -> bool {
        match self {
            Self::Slow => stream.write(b"x").is_ok_and(|sent| sent == 1),
            // some bytes now and then of many million: it is cut off before it has read them
            Self::Idle | Self::Stuck => match stream.read(&mut [0; 16]) {
                Ok(read) => read > 0,
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            },
        }
    }
}

/// So many of a kind, which come again when they are cut off.
fn crowd<'s>(scope: &'s Scope<'s, '_>, address: SocketAddr, client: Client, count: usize, done: &'s AtomicBool) {
    scope.spawn(move || {
        let mut streams: Vec<Option<TcpStream>> = (0..count).map(|_| None).collect();
        while !done.load(Relaxed) {
            for stream in &mut streams {
                if !stream.as_mut().is_some_and(|stream| client.lives(stream)) {
                    *stream = client.open(address);
                }
                if done.load(Relaxed) {
                    return;
                }
            }
            sleep(Duration::from_millis(100));
        }
    });
}

#[derive(Default)]
struct Scrapes {
    answered: AtomicU64,
    bytes: AtomicU64,
    slowest_ms: AtomicU64,
    failed: AtomicU64,
}

fn scrape<'s>(scope: &'s Scope<'s, '_>, address: SocketAddr, scrapes: &'s Scrapes, done: &'s AtomicBool) {
    scope.spawn(move || {
        while !done.load(Relaxed) {
            let begun = Instant::now();
            match http::get(address, "/metrics", ANSWER_WITHIN) {
                Ok((200, text)) => {
                    scrapes.answered.fetch_add(1, Relaxed);
                    scrapes.bytes.store(text.len() as u64, Relaxed);
                }
                _ => drop(scrapes.failed.fetch_add(1, Relaxed)),
            }
            let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            scrapes.slowest_ms.fetch_max(took, Relaxed);
        }
    });
}

/// Resident memory in MiB, and how many files are open.
fn cost(process: u32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    (kib >> 10, fs::read_dir(format!("/proc/{process}/fd")).unwrap().count())
}

/// Plays and prints what it costs at most.
fn phase(life: &mut Life, name: &str, clients: &[(Client, usize)], scrapers: usize) {
    let seconds = std::env::var("CROWD_SECONDS").map_or(20, |text| text.parse().expect("a number"));
    let (done, scrapes) = (AtomicBool::new(false), Scrapes::default());
    let (address, process) = (life.address(), life.id());
    let mut most = (0, 0);
    std::thread::scope(|scope| {
        for (client, count) in clients {
            crowd(scope, address, *client, *count, &done);
        }
        for _ in 0..scrapers {
            scrape(scope, address, &scrapes, &done);
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(seconds) {
            let now = cost(process);
            most = (most.0.max(now.0), most.1.max(now.1));
            sleep(Duration::from_millis(50));
        }
        done.store(true, Relaxed);
    });
    life.must_live();
    let Scrapes { answered, bytes, slowest_ms, failed } = scrapes;
    eprintln!(
        "{name}: at most {} MiB, {} open files; {answered:?} scrapes of {bytes:?} bytes answered, {failed:?} not, the slowest {slowest_ms:?} ms; \
         after it {} MiB",
        most.0,
        most.1,
        cost(process).0
    );
}

#[test]
#[ignore = "a measurement: ./dev torture --crowd SECONDS"]
fn a_crowd_of_connections() {
    let Some(broker) = broker::shared() else { return };
    broker.topic("crowd", 3, &[]);
    let admin = producer(&broker.address(), &[]);
    for number in 0..PIPELINES {
        let partition = i32::try_from(number % 3).unwrap();
        send(&admin, "crowd", partition, b"key", queued(number).as_bytes(), OwnedHeaders::new());
    }
    admin.flush(ANSWER_WITHIN).unwrap();
    let address = broker.address();
    let mut life = Life::start(&[("brokers", &address), ("topic", "crowd"), ("max_pipelines", "100000")]);
    life.shows(&format!("gocdnext_flow_events_total{{type=\"run.queued\"}} {PIPELINES}"));
    eprintln!("before: {} MiB", cost(life.id()).0);
    phase(&mut life, "one scraper", &[], 1);
    phase(&mut life, "3,000 idle and 3,000 slow connections", &[(Client::Idle, EACH), (Client::Slow, EACH)], 1);
    phase(&mut life, "50 scrapers", &[], SCRAPERS);
    phase(&mut life, "all of these", &[(Client::Idle, EACH), (Client::Slow, EACH)], SCRAPERS);
    phase(&mut life, "1,000 that ask for the series and do not read them", &[(Client::Stuck, 1_000)], 1);
}
