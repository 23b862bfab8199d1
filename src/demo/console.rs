//! What the demo says: where to look, a line of figures every few seconds, and a summary at the end.
//!
//! On a terminal the newest line is kept up to date in place; elsewhere each line is written once.

use super::{figures::Figures, partitions};
use crate::{config::Config, published::Published};
use dataflows::{settings::Settings, time::Millis};
use std::{
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    sync::{
        Arc, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

const EVERY: Duration = Duration::from_secs(1);
/// Seconds between two lines that stay.
const LINE_EVERY: u64 = 5;
/// Lines between two headings.
const HEADING_EVERY: u64 = 20;

/// As wide as the rows, and no wider than any terminal: a row that wraps cannot be rewritten in place.
const HEADING: &str = "  events    jobs running waiting oldest wait p50/p95  ran p50/p95 agents failed";

/// Writes from a thread of its own until it is stopped.
pub struct Console {
    thread: Option<JoinHandle<()>>,
    stop: Sender<()>,
}

impl Console {
    pub fn start(config: &Config, published: Arc<Published>) -> Self {
        say(&welcome(config));
        let (stop, stopped) = channel();
        let settings = config.dataflow.clone();
        let work = move || watch(&published, &settings, &stopped);
        // without it the demo is only silent
        let thread = thread::Builder::new().name("console".into()).spawn(work).ok();
        Self { thread, stop }
    }

    /// Writes the summary and ends.
    pub fn stop(self) {
        drop(self.stop);
        if let Some(thread) = self.thread {
            // a console that failed must not make the demo fail
            let _ = thread.join();
        }
    }
}

/// Where to look.
fn welcome(config: &Config) -> String {
    let listen = config.listen;
    let host = if listen.ip().is_unspecified() { "localhost".to_owned() } else { host(listen) };
    let at = format!("{host}:{}", listen.port());
    format!(
        "\
A CI fleet is live. Its events go through an embedded Kafka broker ({brokers}) into the pipeline.

  series       curl -s http://{at}/metrics | grep ^gocdnext_
  as one JSON  curl -s http://{at}/api/v1/snapshot
  job logs     curl -s http://{at}/api/v1/retention   (months of them, archived, kept and dropped while you watch)
  readiness    curl -s http://{at}/readyz
  exemplars    curl -s -H 'Accept: application/openmetrics-text' http://{at}/metrics | grep trace_id
  Prometheus   printf 'scrape_configs:\\n- job_name: gocdnext-flow\\n  scrape_interval: 5s\\n  static_configs:\\n  - targets: [\"{at}\"]\\n' > prometheus.yml
               prometheus --config.file=prometheus.yml --enable-feature=exemplar-storage
  ask it       sum by (project) (rate(gocdnext_jobs_scheduled_total[1m]))
               histogram_quantile(0.95, rate(gocdnext_job_queue_seconds_bucket[5m]))

Ctrl-C ends it.
",
        brokers = config.brokers,
    )
}

fn host(listen: SocketAddr) -> String {
    if listen.is_ipv6() { format!("[{}]", listen.ip()) } else { listen.ip().to_string() }
}

fn watch(published: &Published, settings: &Settings, stopped: &Receiver<()>) {
    let in_place = io::stdout().is_terminal();
    let mut newest = None;
    let mut lines_to_heading = 0;
    for second in 1_u64.. {
        if stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        let Some(snapshot) = published.snapshot.load_full() else { continue };
        let figures = Figures::of(&snapshot, settings);
        let stays = second % LINE_EVERY == 0;
        if lines_to_heading == 0 {
            lines_to_heading = HEADING_EVERY;
            say(&format!("{}{HEADING}\n", if in_place { "\r\x1b[K" } else { "" }));
        }
        let row = row(&figures);
        match (in_place, stays) {
            (true, _) => say(&format!("\r\x1b[K{row}{}", if stays { "\n" } else { "" })),
            (false, true) => say(&format!("{row}\n")),
            (false, false) => {}
        }
        lines_to_heading -= u64::from(stays);
        newest = Some(figures);
    }
    if let Some(snapshot) = published.snapshot.load_full() {
        newest = Some(Figures::of(&snapshot, settings));
    }
    let start = if in_place { "\r\x1b[K" } else { "" };
    let text = newest.as_ref().map_or_else(|| without_series(published), summary);
    let logs = published.snapshot.load_full().and_then(|snapshot| partitions::table(&snapshot));
    say(&format!("{start}{text}{}", logs.unwrap_or_default()));
}

fn row(figures: &Figures) -> String {
    let pair = |of: [Option<Millis>; 2]| format!("{}/{}", seconds(of[0]), seconds(of[1]));
    format!(
        "{:>8} {:>7} {:>7} {:>7} {:>6} {:>12} {:>12} {:>6} {:>6}",
        figures.events,
        figures.dispatched,
        figures.running,
        figures.dispatchable,
        seconds(Some(figures.oldest_ms)),
        pair(figures.wait_ms),
        pair(figures.duration_ms),
        figures.agents,
        figures.failed,
    )
}

/// Nothing was ever shown: what `/readyz` says of it.
fn without_series(published: &Published) -> String {
    let checks = published.checks.0.lock().unwrap_or_else(PoisonError::into_inner);
    let failed = checks.iter().filter_map(|(check, state)| state.as_ref().err().map(|why| format!("{check}: {why}")));
    let why = failed.collect::<Vec<_>>().join("; ");
    format!("The demo has ended before any series was shown ({why}).\n")
}

fn summary(figures: &Figures) -> String {
    format!(
        "The demo has ended: {} events, {} jobs dispatched, {} succeeded, {} failed, {} canceled; \
         {} facts came twice, {} records were rejected.\n",
        figures.events,
        figures.dispatched,
        figures.succeeded,
        figures.failed,
        figures.canceled,
        figures.duplicates,
        figures.rejected,
    )
}

/// `0.4s`, `12s`, `3m10s`
fn seconds(span: Option<Millis>) -> String {
    match span {
        None => "-".to_owned(),
        Some(ms) if ms < 10_000 => format!("{:.1}s", ms as f64 / 1_000.0),
        Some(ms) if ms < 120_000 => format!("{}s", ms / 1_000),
        Some(ms) => format!("{}m{:02}s", ms / 60_000, ms / 1_000 % 60),
    }
}

/// Whoever reads standard output may go away: the demo lives on.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_where_to_look() {
        let listen = |text: &str| welcome(&Config { listen: text.parse().unwrap(), ..Config::default() });
        assert!(listen("0.0.0.0:8153").contains("http://localhost:8153/metrics"));
        assert!(listen("127.0.0.1:9000").contains("http://127.0.0.1:9000/readyz"));
        assert!(listen("[::1]:9000").contains("http://[::1]:9000/"));
    }

    #[test]
    fn rows_stand_under_their_heading() {
        let figures = Figures { events: 123, wait_ms: [Some(400), Some(190_000)], ..Figures::default() };
        assert_eq!(row(&figures).len(), HEADING.len());
        assert!(HEADING.len() < 80, "{}", HEADING.len());
        assert!(row(&figures).contains("0.4s/3m10s"));
    }
}
