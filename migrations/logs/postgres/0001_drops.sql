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
