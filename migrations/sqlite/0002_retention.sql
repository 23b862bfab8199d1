-- What retention rests on: policies, what is known of each attempt's log, decisions on their way to Kafka.
-- src/store/retention says what each column means.

CREATE TABLE gocdnext_flow_policy (
    project BLOB PRIMARY KEY NOT NULL,
    log_retention_days BIGINT NOT NULL CHECK (log_retention_days >= 0),
    archive BOOLEAN NOT NULL,
    changed_at_ms BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE gocdnext_flow_log (
    job BLOB NOT NULL,
    run BLOB NOT NULL,
    attempt BIGINT NOT NULL,
    project BLOB NOT NULL,
    dispatched BOOLEAN NOT NULL,
    ended_at_ms BIGINT,
    archive BIGINT NOT NULL,
    archived_at_ms BIGINT,
    PRIMARY KEY (job, run, attempt)
) WITHOUT ROWID;

CREATE TABLE gocdnext_flow_outbox (
    id TEXT PRIMARY KEY NOT NULL,
    epoch BIGINT NOT NULL,
    body TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX gocdnext_flow_outbox_epoch ON gocdnext_flow_outbox (epoch, id);

CREATE TABLE gocdnext_flow_adoption (
    partition TEXT PRIMARY KEY NOT NULL,
    reason TEXT NOT NULL,
    adopted_at_ms BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE gocdnext_flow_adopted_job (
    job BLOB PRIMARY KEY NOT NULL,
    partition TEXT NOT NULL
) WITHOUT ROWID;
