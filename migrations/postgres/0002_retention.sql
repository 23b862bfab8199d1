-- What retention rests on: policies, what is known of each attempt's log, decisions on their way to Kafka.
-- src/store/retention says what each column means.

CREATE TABLE gocdnext_flow_policy (
    project BYTEA PRIMARY KEY,
    log_retention_days BIGINT NOT NULL CHECK (log_retention_days >= 0),
    archive BOOLEAN NOT NULL,
    changed_at_ms BIGINT NOT NULL
);

CREATE TABLE gocdnext_flow_log (
    job BYTEA NOT NULL,
    run BYTEA NOT NULL,
    attempt BIGINT NOT NULL,
    project BYTEA NOT NULL,
    dispatched BOOLEAN NOT NULL,
    ended_at_ms BIGINT,
    archive BIGINT NOT NULL,
    archived_at_ms BIGINT,
    PRIMARY KEY (job, run, attempt)
) WITH (fillfactor = 80);

CREATE TABLE gocdnext_flow_outbox (
    id TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    body TEXT NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE INDEX gocdnext_flow_outbox_epoch ON gocdnext_flow_outbox (epoch, id);

CREATE TABLE gocdnext_flow_adoption (
    partition TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    adopted_at_ms BIGINT NOT NULL
);

CREATE TABLE gocdnext_flow_adopted_job (
    job BYTEA PRIMARY KEY,
    partition TEXT NOT NULL
);
