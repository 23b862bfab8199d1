//! A broker that is made up: it lists more than it gives, as a replica does that is behind. No real one can be told to.
//!
//! Of the protocol it knows what the pipeline's clients use, in old versions: <https://kafka.apache.org/protocol>. One
//! topic, one partition, each record in a batch of its own.

use super::{TIME, run_queued};
use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::Duration,
};

/// Kinds of requests, with the oldest and the newest version that are known. Nothing is produced; but a client that could
/// not, takes the batches of today's format for unknown.
const APIS: [(i16, i16, i16); 8] = [
    (PRODUCE, 0, 3),
    (FETCH, 4, 4),
    (LIST_OFFSETS, 0, 2),
    (METADATA, 0, 4),
    (OFFSET_COMMIT, 0, 2),
    (OFFSET_FETCH, 0, 1),
    (COORDINATOR, 0, 0),
    (VERSIONS, 0, 0),
];
const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const OFFSET_COMMIT: i16 = 8;
const OFFSET_FETCH: i16 = 9;
const COORDINATOR: i16 = 10;
const VERSIONS: i16 = 18;

const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNSUPPORTED_VERSION: i16 = 35;
/// The time that stands for the end of a partition.
const LATEST: i64 = -1;
const BATCHES_A_FETCH: i64 = 100;

/// Where the partition ends, by its word.
#[derive(Debug)]
struct Ends {
    listed: AtomicI64,
    readable: AtomicI64,
}

/// See the module. Its threads end with the process.
pub struct MadeUp {
    broker: Arc<Broker>,
}

impl MadeUp {
    /// A topic whose end is listed as `listed`, and whose records before `readable` can be fetched.
    pub fn start(topic: &str, listed: i64, readable: i64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let ends = Ends { listed: AtomicI64::new(listed), readable: AtomicI64::new(readable) };
        let broker = Arc::new(Broker { topic: topic.to_owned(), port, ends });
        let serving = Arc::clone(&broker);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let broker = Arc::clone(&serving);
                thread::spawn(move || broker.serve(stream));
            }
        });
        Self { broker }
    }

    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.broker.port)
    }

    pub fn says(&self, listed: i64, readable: i64) {
        self.broker.ends.listed.store(listed, Ordering::SeqCst);
        self.broker.ends.readable.store(readable, Ordering::SeqCst);
    }
}

struct Broker {
    topic: String,
    port: u16,
    ends: Ends,
}

impl Broker {
    /// Answers one client until it goes.
    fn serve(&self, mut stream: TcpStream) {
        while let Ok(request) = frame(&mut stream) {
            let mut request = Request(&request);
            let (kind, version, correlation) = (request.i16(), request.i16(), request.i32());
            request.text();
            let mut answer = Answer::default();
            answer.i32(correlation);
            self.answer(kind, version, &mut request, &mut answer);
            let length = i32::try_from(answer.0.len()).expect("a short answer").to_be_bytes();
            if stream.write_all(&[&length[..], &answer.0].concat()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, kind: i16, version: i16, request: &mut Request<'_>, answer: &mut Answer) {
        match kind {
            VERSIONS => {
                answer.i16(if version == 0 { 0 } else { UNSUPPORTED_VERSION });
                answer.list(&APIS, |answer, (kind, from, to)| [kind, from, to].map(|number| answer.i16(*number)));
            }
            METADATA => self.metadata(answer),
            LIST_OFFSETS => self.list_offsets(request, answer),
            FETCH => self.fetch(request, answer),
            // this one, without an error
            COORDINATOR => {
                answer.i16(0);
                self.node(answer);
            }
            // of no partition
            OFFSET_COMMIT | OFFSET_FETCH => answer.i32(0),
            _ => panic!("no client asks for {kind}"),
        }
    }

    /// Its number, host and port.
    fn node(&self, answer: &mut Answer) {
        answer.i32(1);
        answer.text("127.0.0.1");
        answer.i32(self.port.into());
    }

    fn metadata(&self, answer: &mut Answer) {
        let (no_throttle, no_rack, controller) = (0, -1, 1);
        answer.i32(no_throttle);
        answer.list(&[()], |answer, ()| {
            self.node(answer);
            answer.i16(no_rack);
        });
        // a mock is not asked how its topics are configured
        answer.text("mockCluster made up");
        answer.i32(controller);
        answer.list(&[()], |answer, ()| {
            let (no_error, internal, leader) = (0, 0, 1);
            answer.i16(no_error);
            answer.text(&self.topic);
            answer.0.push(internal);
            answer.list(&[0], |answer, partition| {
                answer.i16(no_error);
                answer.i32(*partition);
                answer.i32(leader);
                for _replicas_then_in_sync in 0..2 {
                    answer.list(&[leader], |answer, node| answer.i32(*node));
                }
            });
        });
    }

    fn list_offsets(&self, request: &mut Request<'_>, answer: &mut Answer) {
        let (_replica, _isolation, _topics) = (request.i32(), request.u8(), request.i32());
        let (topic, _partitions, partition, time) = (request.text(), request.i32(), request.i32(), request.i64());
        let offset = if time == LATEST { self.ends.listed.load(Ordering::SeqCst) } else { 0 };
        answer.i32(0);
        answer.list(&[topic], |answer, topic| {
            answer.text(topic);
            answer.list(&[partition], |answer, partition| {
                let (no_error, no_time) = (0, -1);
                answer.i32(*partition);
                answer.i16(no_error);
                answer.i64(no_time);
                answer.i64(offset);
            });
        });
    }

    fn fetch(&self, request: &mut Request<'_>, answer: &mut Answer) {
        let (_replica, wait_ms, _least, _most) = (request.i32(), request.i32(), request.i32(), request.i32());
        let (_isolation, topics) = (request.u8(), request.i32());
        answer.i32(0);
        if topics == 0 {
            answer.i32(0);
            return;
        }
        let (topic, _partitions, partition, from) = (request.text(), request.i32(), request.i32(), request.i64());
        let (listed, readable) = (&self.ends.listed, &self.ends.readable);
        let (listed, readable) = (listed.load(Ordering::SeqCst), readable.load(Ordering::SeqCst));
        let records: Vec<u8> = (from..readable.min(from + BATCHES_A_FETCH)).flat_map(batch).collect();
        if records.is_empty() {
            thread::sleep(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)));
        }
        answer.list(&[topic], |answer, topic| {
            answer.text(topic);
            answer.list(&[partition], |answer, partition| {
                let no_aborted = 0;
                answer.i32(*partition);
                answer.i16(if from > listed.max(readable) { OFFSET_OUT_OF_RANGE } else { 0 });
                answer.i64(readable);
                answer.i64(readable);
                answer.i32(no_aborted);
                answer.i32(i32::try_from(records.len()).expect("a short fetch"));
                answer.0.extend(&records);
            });
        });
    }
}

/// One record in a batch of its own: the event of a run whose number is the offset. Its checksum is not looked at.
fn batch(offset: i64) -> Vec<u8> {
    let value = run_queued(offset.unsigned_abs(), TIME);
    let mut record = Answer::default();
    let (attributes, no_key, headers) = (0, -1, 0);
    record.0.push(attributes);
    for number in [0, 0, no_key, i64::try_from(value.len()).expect("a short event")] {
        record.varint(number);
    }
    record.0.extend(value.as_bytes());
    record.varint(headers);

    let mut rest = Answer::default();
    let (leader_epoch, magic, checksum, no_time, no_producer) = (0, 2, 0, -1, -1);
    rest.i32(leader_epoch);
    rest.0.push(magic);
    rest.i32(checksum);
    rest.i16(0);
    rest.i32(0);
    rest.i64(no_time);
    rest.i64(no_time);
    rest.i64(no_producer);
    rest.i16(-1);
    rest.i32(-1);
    rest.i32(1);
    rest.varint(i64::try_from(record.0.len()).expect("a short record"));
    rest.0.extend(record.0);

    let mut batch = Answer::default();
    batch.i64(offset);
    batch.i32(i32::try_from(rest.0.len()).expect("a short batch"));
    batch.0.extend(rest.0);
    batch.0
}

fn frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap_or(0)];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

/// What is left of a request.
struct Request<'a>(&'a [u8]);

impl Request<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().expect("a whole request");
        self.0 = rest;
        *taken
    }

    fn u8(&mut self) -> u8 {
        let [byte] = self.take();
        byte
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take())
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take())
    }

    fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take())
    }

    /// Empty where there is none.
    fn text(&mut self) -> String {
        let length = usize::try_from(self.i16()).unwrap_or(0);
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}

#[derive(Default)]
struct Answer(Vec<u8>);

impl Answer {
    fn i16(&mut self, number: i16) {
        self.0.extend(number.to_be_bytes());
    }

    fn i32(&mut self, number: i32) {
        self.0.extend(number.to_be_bytes());
    }

    fn i64(&mut self, number: i64) {
        self.0.extend(number.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.i16(i16::try_from(text.len()).expect("a short text"));
        self.0.extend(text.as_bytes());
    }

    fn list<T, R>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T) -> R) {
        self.i32(i32::try_from(items.len()).expect("a short list"));
        for item in items {
            write(self, item);
        }
    }

    /// Zigzag, seven bits a byte.
    fn varint(&mut self, number: i64) {
        let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while left >= 0x80 {
            self.0.push(u8::try_from(left & 0x7f).expect("seven bits") | 0x80);
            left >>= 7;
        }
        self.0.push(u8::try_from(left).expect("seven bits"));
    }
}
