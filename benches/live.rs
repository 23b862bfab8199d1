//! The live pipeline over a real Kafka and SQLite: cpu a message beside a consumer that only reads, and how long an event
//! takes to be seen.
//!
//! `cargo bench --bench live [-- EVENTS ROUNDS]`. The broker is started as the tests do; its own cpu is not counted.

#[path = "../tests/kafka/mod.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "made for tests, which fail by panicking")]
mod kafka;
mod support;

use dataflows::{
    decode::{Decoded, Decoder},
    feed::{Batch, Records},
    names::Names,
    settings::Settings,
};
use gocdnext_flow::{
    config::Config,
    fleet::{Fleet, FleetOptions},
};
use kafka::{Live, broker};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{
    error::Error,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};
use support::{Spent, numbers, spent};

const PARTITIONS: usize = 4;
const FLUSH_WITHIN: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = numbers();
    let events = numbers.next().unwrap_or(1_000_000);
    let rounds = numbers.next().unwrap_or(3);
    let Some(broker) = broker::shared() else { return Err("there is no Kafka".into()) };
    let brokers = broker.address();
    broker.topic("throughput", i32::try_from(PARTITIONS)?, &[]);
    let lines: Vec<Vec<u8>> = Fleet::new(fleet()).take(events).map(|record| record.value).collect();
    let producer = producer(&brokers)?;
    for (number, line) in lines.iter().enumerate() {
        send(&producer, "throughput", i32::try_from(number % PARTITIONS)?, line)?;
    }
    producer.flush(FLUSH_WITHIN)?;
    throughput(&brokers, &lines, rounds)?;
    broker.topic("latency", 1, &[]);
    latency(&brokers, &producer, &lines)
}

fn fleet() -> FleetOptions {
    FleetOptions { tenants: 50, pipelines: 20, agents: 1_000, ..FleetOptions::default() }
}

fn producer(brokers: &str) -> Result<BaseProducer, Box<dyn Error>> {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", brokers).set("linger.ms", "1").set("queue.buffering.max.messages", "1000000");
    Ok(settings.create()?)
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, value: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(value);
    while let Err((error, back)) = producer.send(record) {
        let KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) = error else { return Err(error.into()) };
        producer.poll(Duration::from_millis(10));
        record = back;
    }
    producer.poll(Duration::ZERO);
    Ok(())
}

fn config(brokers: &str, topic: &str) -> Config {
    Config { epoch_interval: Duration::from_secs(1), ..kafka::config(brokers, topic) }
}

fn throughput(brokers: &str, lines: &[Vec<u8>], rounds: usize) -> Result<(), Box<dyn Error>> {
    let batches = batches(lines);
    let mut least = [Spent::MOST; 4];
    for _ in 0..rounds {
        let round = [
            spent(|| only_read(brokers, lines.len()))?,
            spent(|| {
                decode(&batches);
                Ok(())
            })?,
            spent(|| pipeline(brokers, lines.len(), 1))?,
            spent(|| pipeline(brokers, lines.len(), 2))?,
        ];
        least.iter_mut().zip(round).for_each(|(least, spent)| least.least(spent));
    }
    let millions = lines.len() as f64 / 1e6;
    let bytes = lines.iter().map(Vec::len).sum::<usize>() / lines.len();
    println!("{} events of {bytes} bytes in {PARTITIONS} partitions", lines.len());
    println!("{:<26}{:>18}{:>10}", "", "cpu s a million", "wall s");
    let names = ["a consumer that only reads", "decode alone", "pipeline, 1 worker", "pipeline, 2 workers"];
    for (name, spent) in names.iter().zip(&least) {
        println!("{name:<26}{:>18.2}{:>10.2}", spent.cpu_s / millions, spent.wall_s);
    }
    let [reads, decodes, one, two] = least.map(|spent| spent.cpu_s);
    println!(
        "cpu, (pipeline - decode) / only reading: {:.2}, with 2 workers {:.2}",
        (one - decodes) / reads,
        (two - decodes) / reads
    );
    Ok(())
}

/// From the beginning, with librdkafka's usual settings.
fn only_read(brokers: &str, records: usize) -> Result<(), Box<dyn Error>> {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", brokers).set("group.id", "reads").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = settings.create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset("throughput", i32::try_from(partition)?, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let (mut read, mut bytes) = (0, 0);
    while read < records {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        bytes += message?.payload().map_or(0, <[u8]>::len);
        read += 1;
    }
    std::hint::black_box(bytes);
    Ok(())
}

/// The same records as the pipeline's arenas hold them, as lines.
fn batches(lines: &[Vec<u8>]) -> Vec<Batch> {
    let batch = |lines: &[Vec<u8>]| {
        let bytes = lines.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect();
        Batch { partition: 0, bytes, records: Records::Lines { first_line: 1 }, read_at: None }
    };
    lines.chunks(500).map(batch).collect()
}

fn decode(batches: &[Batch]) {
    let mut decoder = Decoder::new(&Settings::default(), Names::new(1_000_000));
    for batch in batches {
        let mut decoded = Decoded::default();
        decoder.decode(batch, &mut decoded);
        std::hint::black_box(&decoded);
    }
}

/// Until everything is committed, the start included.
fn pipeline(brokers: &str, records: usize, workers: usize) -> Result<(), Box<dyn Error>> {
    let live = Live::start(&Config { workers, ..config(brokers, "throughput") });
    let records = records as u64;
    let start = Instant::now();
    while live.published.own.records.load(Relaxed) < records {
        if start.elapsed() > Duration::from_secs(300) {
            return Err("not all was read within five minutes".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// From the moment an event is handed to the producer until an epoch that holds it is committed and shown.
fn latency(brokers: &str, producer: &BaseProducer, lines: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
    const SECONDS: usize = 20;
    const A_SECOND: usize = 10_000;
    const A_STEP: usize = A_SECOND / 1_000;
    let live = Live::start(&config(brokers, "latency"));
    live.wait_until_caught_up();
    let start = Instant::now();
    let (mut sent, mut seen): (Vec<Instant>, Vec<Duration>) = (Vec::new(), Vec::new());
    while seen.len() < SECONDS * A_SECOND {
        let due = usize::try_from(start.elapsed().as_millis())? * A_STEP;
        while sent.len() < due.min(SECONDS * A_SECOND) {
            send(producer, "latency", 0, &lines[sent.len() % lines.len()])?;
            sent.push(Instant::now());
        }
        let shown = usize::try_from(live.published.own.records.load(Relaxed))?;
        let now = Instant::now();
        seen.extend(sent[seen.len()..shown.max(seen.len())].iter().map(|sent| now - *sent));
        std::thread::sleep(Duration::from_millis(1));
    }
    seen.sort_unstable();
    let quantile = |percent: usize| seen[seen.len() * percent / 100 - 1].as_secs_f64();
    println!("\n{A_SECOND} events/s, epochs of 1 s: from sent to seen");
    println!("p50 {:.3} s, p99 {:.3} s, at most {:.3} s", quantile(50), quantile(99), quantile(100));
    Ok(())
}
