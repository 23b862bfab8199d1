//! Which partitions there are, with the bounds that the database itself keeps to, and what time it is there.

use super::{LogDatabase, LogsError, begin_reading, layout::Layout};
use crate::database::connection::{Connection, Value::Text};
use dataflows::{
    retention::{
        Catalogue, Partition,
        month::{DEFAULT_PARTITION, Month},
    },
    time::Millis,
};

/// A partition, as far as the catalogue tells of it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) partition: Partition,
    /// A table that holds its lines itself, with the name and the bounds of a month.
    pub(super) regular: bool,
}

impl LogDatabase {
    /// All partitions but the default one, in order of their bounds. Whether somebody vouched for one (`adopted`) is not
    /// known here. A bound that is none (`MINVALUE`) or cannot be read is the widest there is.
    pub async fn catalogue(&self) -> Result<Catalogue, LogsError> {
        // it is asked for all the time: no login each
        let mut lent = self.link.lend().await?;
        let connection = &mut lent.connection;
        begin_reading(connection).await?;
        Layout::read(connection).await?;
        let mut partitions: Vec<Partition> =
            read(connection, None).await?.into_iter().map(|entry| entry.partition).collect();
        partitions.sort_by(|a, b| (a.lower, a.upper, &a.name).cmp(&(b.lower, b.upper, &b.name)));
        let now = self.now(connection).await?;
        connection.commit().await?;
        lent.give_back();
        Ok(Catalogue { partitions, now })
    }
}

/// One partition as it is now; `None`: there is none of that name.
pub(super) async fn entry(connection: &mut Connection, name: &str) -> Result<Option<Entry>, LogsError> {
    Ok(read(connection, Some(name)).await?.pop())
}

async fn read(connection: &mut Connection, name: Option<&str>) -> Result<Vec<Entry>, LogsError> {
    let wanted = Text(name.unwrap_or_default());
    if connection.is_sqlite() {
        let select = "SELECT p.name, p.lower_ms, p.upper_ms, COALESCE(t.type, '') FROM gocdnext_flow_log_partitions p \
                      LEFT JOIN sqlite_master t ON t.name = p.name WHERE $1 IN ('', p.name)";
        let rows: Vec<(String, i64, i64, String)> = connection.rows(select, &[wanted]).await?;
        let entry =
            |(name, lower, upper, kind): (String, i64, i64, String)| listed(name, lower, upper, kind == "table");
        return Ok(rows.into_iter().map(entry).collect());
    }
    // one that is being detached is not dropped by us, nor made again
    let select = "SELECT CAST(c.relname AS TEXT), pg_get_expr(c.relpartbound, c.oid), CAST(c.relkind AS TEXT) \
                  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
                  WHERE i.inhparent = to_regclass('log_lines') AND $1 IN ('', c.relname) \
                  AND NOT COALESCE(CAST(to_jsonb(i) ->> 'inhdetachpending' AS BOOLEAN), FALSE)";
    let rows: Vec<(String, String, String)> = connection.rows(select, &[wanted]).await?;
    let entry = |(name, bounds, kind): (String, String, String)| {
        let (lower, upper) = parsed(&bounds)?;
        Some(listed(name, lower, upper, kind == "r"))
    };
    Ok(rows.into_iter().filter_map(entry).collect())
}

fn listed(name: String, lower: Millis, upper: Millis, table: bool) -> Entry {
    let month = Month::from_name(&name).map(Month::partition);
    let partition = Partition { name, lower, upper, adopted: false };
    Entry { regular: table && month.as_ref() == Some(&partition), partition }
}

/// The table with the lines of no partition, as statements name it.
pub(super) async fn default_table(connection: &mut Connection) -> Result<Option<String>, LogsError> {
    if connection.is_sqlite() {
        return Ok(Some(DEFAULT_PARTITION.to_owned()));
    }
    let select = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_partitioned_table p \
                  JOIN pg_class c ON c.oid = p.partdefid JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE p.partrelid = to_regclass('log_lines')";
    let found: Vec<(String,)> = connection.rows(select, &[]).await?;
    Ok(found.into_iter().next().map(|(name,)| name))
}

/// The bounds in PostgreSQL's words, told in UTC; `None`: the default partition's.
fn parsed(bounds: &str) -> Option<(Millis, Millis)> {
    if bounds == "DEFAULT" {
        return None;
    }
    let inner = bounds.strip_prefix("FOR VALUES FROM (").and_then(|rest| rest.strip_suffix(')'));
    let (lower, upper) = inner.and_then(|inner| inner.split_once(") TO (")).unwrap_or_default();
    Some((bound(lower).unwrap_or(Millis::MIN), bound(upper).unwrap_or(Millis::MAX)))
}

/// In ms, rounded up: so no bound between two of them looks like a month's.
fn bound(text: &str) -> Option<Millis> {
    let quoted = text.strip_prefix('\'')?.strip_suffix('\'')?;
    let time: jiff::Timestamp = quoted.parse().ok()?;
    let part = time.as_nanosecond().rem_euclid(1_000_000) > 0;
    Some(time.as_nanosecond().div_euclid(1_000_000).try_into().unwrap_or(Millis::MAX) + Millis::from(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_as_a_server_tells_them() {
        let month = Month::from_name("log_lines_y2026m04").unwrap().partition();
        let whole = "FOR VALUES FROM ('2026-04-01 00:00:00+00') TO ('2026-05-01 00:00:00+00')";
        assert_eq!(parsed(whole), Some((month.lower, month.upper)));
        let pre = "FOR VALUES FROM (MINVALUE) TO ('2026-05-01 00:00:00+00')";
        assert_eq!(parsed(pre), Some((Millis::MIN, month.upper)));
        let part = "FOR VALUES FROM ('2026-04-01 00:00:00.0004+00') TO ('2026-05-01 00:00:00.000001+00')";
        assert_eq!(parsed(part), Some((month.lower + 1, month.upper + 1)));
        assert_eq!(parsed("FOR VALUES FROM ('-infinity') TO (MAXVALUE)"), Some((Millis::MIN, Millis::MAX)));
        assert_eq!(parsed("FOR VALUES WITH (modulus 2, remainder 0)"), Some((Millis::MIN, Millis::MAX)));
        assert_eq!(parsed("DEFAULT"), None);
    }
}
