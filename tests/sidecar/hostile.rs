//! Clients that mean harm, or know no better: slow ones, huge ones, thousands at once. Whoever asks properly is answered, and
//! what the others cost is bounded.

use crate::support::{Client, PATIENCE, Server};
use gocdnext_flow::config::Config;
use std::{
    fs,
    io::{ErrorKind, Write},
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

/// More than the test takes: nothing here ends by a time-out of its own.
const LONG: Duration = Duration::from_hours(1);
const SLOTS: usize = 4;

fn server() -> Server {
    Server::start(&Config { http_max_connections: SLOTS, http_timeout: LONG, ..Config::default() })
}

/// Connections that each send a byte now and then, all through `work`, and come again when they are cut off.
fn dripped<T>(address: SocketAddr, head: &'static str, drop: &'static [u8], work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 * SLOTS {
            scope.spawn(|| {
                let open = || {
                    let mut client = Client::connect(address);
                    // it may be cut off at once
                    let _ = client.0.write_all(head.as_bytes());
                    client
                };
                let mut client = open();
                while !done.load(Relaxed) {
                    if client.0.write_all(drop).is_err() {
                        client = open();
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn headers_byte_by_byte_do_not_keep_others_out() {
    let server = server();
    dripped(server.address, "GET /metrics HTTP/1.1\r\nhost: x\r\nslow: ", b"x", || {
        for _ in 0..3 {
            assert_eq!(server.get("/metrics", "").status, 200);
        }
    });
}

#[test]
fn bodies_byte_by_byte_do_not_keep_others_out() {
    let server = server();
    let head = "GET /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n";
    dripped(server.address, head, b"x", || {
        for _ in 0..3 {
            assert_eq!(server.get("/metrics", "").status, 200);
        }
    });
}

#[test]
fn an_endless_header_is_cut_off() {
    let server = server();
    let mut client = Client::connect(server.address);
    client.0.set_write_timeout(Some(PATIENCE)).unwrap();
    client.0.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nendless: ").unwrap();
    let (piece, most) = ([b'x'; 16 << 10], 1024);
    // far more than the bound and than what sockets buffer
    let taken = (0..most).take_while(|_| client.0.write_all(&piece).is_ok()).count();
    assert!(taken < most, "it took {taken} pieces of {} bytes", piece.len());
    assert_eq!(server.get("/healthz", "").status, 200);
}

/// How many files this process may open, and has open.
fn files() -> (usize, usize) {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let most = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    (most, fs::read_dir("/proc/self/fd").unwrap().count())
}

#[test]
fn thousands_of_connections_at_once_are_bounded() {
    let config = Config { http_timeout: LONG, ..Config::default() };
    let slots = config.http_max_connections;
    let server = Server::start(&config);
    let (most, open) = files();
    let wanted = 3_000.min(most.saturating_sub(open + slots + 100));
    let before = files().1;
    let mut clients = Vec::with_capacity(wanted);
    for place in 0..wanted {
        let mut client = Client::connect(server.address);
        // silent ones, and ones that begin a request
        if place % 2 == 0 {
            let sent = client.0.write_all(b"GET /metrics HTTP/1.1\r\n");
            assert!(sent.is_ok() || sent.is_err_and(|error| error.kind() != ErrorKind::WouldBlock));
        }
        clients.push(client);
        // in the middle of it, and at its end
        if place == wanted / 2 || place + 1 == wanted {
            assert_eq!(server.get("/metrics", "").status, 200);
        }
    }
    let theirs = files().1 - before - clients.len();
    // besides its own slots, the one that waits for a slot, and what other tests have open meanwhile
    assert!(theirs <= slots + 200, "{theirs} sockets for {} clients", clients.len());
}
