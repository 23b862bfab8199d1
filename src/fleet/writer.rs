//! Writes events as structured CloudEvents (`schemas/` holds the contract), by hand: every text in them is the
//! fleet's own and needs no escaping, and a generated log is as fast to make as to write.

use dataflows::{event::Kind, time::Millis};

const DAY_MS: Millis = 86_400_000;

/// The replicas of the control plane, the `source` of every event.
const SOURCES: [&str; 3] = ["/gocdnext/server/0", "/gocdnext/server/1", "/gocdnext/server/2"];

/// Where a trace is: trace id and span id of its `traceparent`.
pub type Trace = (u128, u64);

/// An event as it is written: a JSON object that is open until [`Json::finish`].
#[derive(Debug)]
pub struct Json(Vec<u8>);

impl Json {
    /// Opens an event and its `data`.
    pub fn event(kind: Kind, id: u128, replica: u8, time: Millis, trace: Option<Trace>) -> Self {
        let mut json = Self(Vec::with_capacity(640));
        json.raw(r#"{"specversion":"1.0","id":""#);
        json.uuid(id);
        json.raw(r#"","source":""#);
        json.raw(SOURCES[usize::from(replica) % SOURCES.len()]);
        json.raw(r#"","type":"io.gocdnext."#);
        json.raw(kind.name());
        json.raw(r#"","time":""#);
        json.0.extend_from_slice(&rfc3339(time));
        json.raw(r#"","datacontenttype":"application/json""#);
        if let Some((trace, span)) = trace {
            json.raw(r#","traceparent":"00-"#);
            json.hex(trace, 128);
            json.raw("-");
            json.hex(u128::from(span), 64);
            json.raw(r#"-01""#);
        }
        json.raw(r#","data":{"#);
        json
    }

    pub fn id(&mut self, name: &str, id: u128) -> &mut Self {
        self.name(name);
        self.raw("\"");
        self.uuid(id);
        self.raw("\"");
        self
    }

    /// `value` must need no escaping.
    pub fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        self.raw("\"");
        self.raw(value);
        self.raw("\"");
        self
    }

    pub fn time(&mut self, name: &str, time: Millis) -> &mut Self {
        self.name(name);
        self.raw("\"");
        self.0.extend_from_slice(&rfc3339(time));
        self.raw("\"");
        self
    }

    pub fn number(&mut self, name: &str, value: i32) -> &mut Self {
        self.name(name);
        if (0..10).contains(&value) {
            self.0.push(b'0' + u8::try_from(value).unwrap_or_default());
        } else {
            self.raw(&value.to_string());
        }
        self
    }

    pub fn boolean(&mut self, name: &str, value: bool) -> &mut Self {
        self.name(name);
        self.raw(if value { "true" } else { "false" });
        self
    }

    /// Closes `data` and the event.
    pub fn finish(mut self) -> Vec<u8> {
        self.raw("}}");
        self.0
    }

    fn name(&mut self, name: &str) {
        if self.0.last() != Some(&b'{') {
            self.raw(",");
        }
        self.raw("\"");
        self.raw(name);
        self.raw("\":");
    }

    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn uuid(&mut self, id: u128) {
        self.0.extend_from_slice(&uuid_text(id));
    }

    fn hex(&mut self, value: u128, bits: u32) {
        for shift in (0..bits).step_by(4).rev() {
            self.0.push(b"0123456789abcdef"[(value >> shift) as usize & 15]);
        }
    }
}

/// A UUID in its 36 characters.
pub fn uuid_text(id: u128) -> [u8; 36] {
    let mut text = [0; 36];
    uuid::Uuid::from_u128(id).hyphenated().encode_lower(&mut text);
    text
}

/// RFC 3339 in UTC with milliseconds, for years 0 to 9999.
pub fn rfc3339(time: Millis) -> [u8; 24] {
    let (year, month, day) = date(time.div_euclid(DAY_MS));
    let in_day = time.rem_euclid(DAY_MS);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |end: usize, digits: usize, value: Millis| {
        let mut rest = value;
        for place in (end - digits..end).rev() {
            text[place] = b'0' + u8::try_from(rest.rem_euclid(10)).unwrap_or_default();
            rest /= 10;
        }
    };
    put(4, 4, year);
    put(7, 2, month);
    put(10, 2, day);
    put(13, 2, in_day / 3_600_000);
    put(16, 2, in_day / 60_000 % 60);
    put(19, 2, in_day / 1_000 % 60);
    put(23, 3, in_day % 1_000);
    text
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar. Years are taken to begin
/// in March, so that the leap day is the last of one and months have a regular pattern.
fn date(days: i64) -> (i64, i64, i64) {
    const DAYS_IN_400_YEARS: i64 = 146_097;
    // from 0000-03-01, which is 719,468 days before 1970-01-01
    let days = days + 719_468;
    let cycle = days.div_euclid(DAYS_IN_400_YEARS);
    let in_cycle = days.rem_euclid(DAYS_IN_400_YEARS);
    let year = (in_cycle - in_cycle / 1_460 + in_cycle / 36_524 - in_cycle / (DAYS_IN_400_YEARS - 1)) / 365;
    let in_year = in_cycle - (365 * year + year / 4 - year / 100);
    let from_march = (5 * in_year + 2) / 153;
    let day = in_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (cycle * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_jiff() {
        for time in (-62_000_000_000_000..250_000_000_000_000_i64).step_by(1_639_999_977) {
            let expected = jiff::Timestamp::from_millisecond(time).unwrap();
            let text = String::from_utf8(rfc3339(time).to_vec()).unwrap();
            assert_eq!(text, format!("{expected:.3}"), "{time}");
        }
    }

    #[test]
    fn an_event_is_json() {
        let mut json = Json::event(Kind::JobQueued, 7, 1, 0, Some((0xab, 0xcd)));
        json.text("job", "lint").number("attempt", 12).boolean("dispatchable", true).id("job_id", 9);
        let value: serde_json::Value = serde_json::from_slice(&json.finish()).unwrap();
        assert_eq!(value["type"], "io.gocdnext.job.queued");
        assert_eq!(value["traceparent"], "00-000000000000000000000000000000ab-00000000000000cd-01");
        assert_eq!(value["data"]["attempt"], 12);
        assert_eq!(value["data"]["job_id"], "00000000-0000-0000-0000-000000000009");
    }
}
