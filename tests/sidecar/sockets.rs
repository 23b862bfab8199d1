//! Requests over real sockets, through the whole server.

use crate::support::Server;
use gocdnext_flow::config::Config;

#[test]
fn a_header_within_the_bound_but_over_hyper_s_least_is_taken() {
    let server = Server::start(&Config::default());
    assert_eq!(server.get("/healthz", &format!("x-long: {}\r\n", "a".repeat(32 << 10))).status, 200);
}

#[test]
fn one_connection_serves_several_requests() {
    let server = Server::start(&Config::default());
    let request = "GET /healthz HTTP/1.1\r\nhost: x\r\n";
    let answer = server.connect().ask(&format!("{request}\r\n{request}connection: close\r\n\r\n"));
    assert_eq!(answer.text().matches("HTTP/1.1 200").count(), 1, "the second follows the first: {}", answer.text());
}

#[test]
fn many_at_once_are_all_answered() {
    let server = Server::start(&Config { http_max_connections: 4, ..Config::default() });
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..64).map(|_| scope.spawn(|| server.get("/metrics", "").status)).collect();
        for client in clients {
            assert_eq!(client.join().unwrap(), 200);
        }
    });
}
