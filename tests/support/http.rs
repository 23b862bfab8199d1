//! The smallest HTTP client that serves: one request a connection, and never longer than it is given.

use std::{
    io::{Error, ErrorKind, Read, Result, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

/// An address that was free a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its address")
}

/// Status and body.
pub fn get(address: SocketAddr, path: &str, within: Duration) -> Result<(u16, String)> {
    let until = Instant::now() + within;
    let mut stream = TcpStream::connect_timeout(&address, within)?;
    stream.set_write_timeout(Some(within))?;
    // HTTP/1.0: no chunks
    write!(stream, "GET {path} HTTP/1.0\r\nhost: test\r\n\r\n")?;
    let answer = read_until(&mut stream, until)?;
    let answer = String::from_utf8(answer).map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    match (status, answer.split_once("\r\n\r\n")) {
        (Some(status), Some((head, body))) if is_whole(head, body) => Ok((status, body.to_owned())),
        _ => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// A process that is killed while it answers leaves half an answer.
fn is_whole(head: &str, body: &str) -> bool {
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_none_or(|length| length == body.len())
}

fn read_until(stream: &mut TcpStream, until: Instant) -> Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece)? {
            0 => return Ok(answer),
            read => answer.extend_from_slice(&piece[..read]),
        }
    }
}
