//! From tracing's events to JSON lines.

use super::flood::{Flood, LeftOut};
use serde_json::Value;
use std::{
    fmt,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// The layer. Cheap to clone; all clones write to one place.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    writer: Mutex<Box<dyn Write + Send>>,
    flood: Mutex<Flood>,
    burst: u32,
    clock: fn() -> SystemTime,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

impl Lines {
    pub(super) fn new(writer: Box<dyn Write + Send>, burst: u32, clock: fn() -> SystemTime) -> Self {
        Self(Arc::new(Shared { writer: Mutex::new(writer), flood: Mutex::default(), burst, clock }))
    }

    pub(super) fn finish(&self) {
        let now = (self.0.clock)();
        self.say_left_out(now, true);
    }

    fn say_left_out(&self, now: SystemTime, all: bool) {
        let left_out = self.0.flood.lock().unwrap_or_else(PoisonError::into_inner).take_left_out(now, all);
        for LeftOut { level, message, lines } in left_out {
            let mut line = Line::new(now, level, &message);
            line.field("left_out", &lines.into());
            self.write(line);
        }
    }

    fn write(&self, line: Line) {
        let line = line.finish();
        let mut writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // nobody reads the log any more: there is nowhere left to say so
        let _ = writer.write_all(line.as_bytes()).and_then(|()| writer.flush());
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let now = (self.0.clock)();
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.say_left_out(now, false);
        // what is no trouble tells one thing each time, and debugging was asked for
        if *metadata.level() <= Level::WARN {
            let mut flood = self.0.flood.lock().unwrap_or_else(PoisonError::into_inner);
            let (kind, level) = (metadata.callsite(), *metadata.level());
            if !flood.admit(kind, level, &fields.message, self.0.burst, now) {
                return;
            }
        }
        let mut line = Line::new(now, *metadata.level(), &fields.message);
        for (name, value) in &fields.others {
            line.field(name, value);
        }
        self.write(line);
    }
}

/// One line being put together.
struct Line(String);

impl Line {
    fn new(now: SystemTime, level: Level, message: &str) -> Self {
        let time = jiff::Timestamp::try_from(now).unwrap_or_default();
        let mut line = Self(format!(r#"{{"time":"{time:.3}","level":"{level}""#));
        line.field("msg", &message.into());
        line
    }

    fn field(&mut self, name: &str, value: &Value) {
        use fmt::Write;
        // writing to a String cannot fail; names are identifiers
        let _ = write!(self.0, r#","{name}":{value}"#);
    }

    fn finish(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}

/// The fields of an event, in the order given.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn push(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            (name, value) => self.others.push((name.strip_prefix("r#").unwrap_or(name), value)),
        }
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.push(field, value.to_string().into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, format!("{value:?}").into());
    }
}
