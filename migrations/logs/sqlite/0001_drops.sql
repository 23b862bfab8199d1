-- The drop ledger: what was dropped of log_lines, in the transaction that dropped it. src/logs/drops.rs

CREATE TABLE gocdnext_flow_drops (
    name TEXT PRIMARY KEY,
    lower_ms BIGINT NOT NULL,
    upper_ms BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    dropped_at_ms BIGINT NOT NULL,
    decision TEXT NOT NULL,
    acknowledged BOOLEAN NOT NULL
);

-- What a server knows by itself: which tables are partitions of log_lines. src/logs/embedded.rs

CREATE TABLE gocdnext_flow_log_partitions (
    name TEXT PRIMARY KEY,
    lower_ms BIGINT NOT NULL,
    upper_ms BIGINT NOT NULL
);

-- Each partition is a table like this one; times are milliseconds since 1970.
CREATE TABLE log_lines_default (
    job_run_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    stream TEXT NOT NULL,
    at BIGINT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (job_run_id, seq, at)
) WITHOUT ROWID;
