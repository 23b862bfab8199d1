-- The durable state: one manifest row, the log of blobs, one lease row. src/store says what each column means.

CREATE TABLE gocdnext_flow_manifest (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    stream_time_ms BIGINT,
    horizon BIGINT NOT NULL,
    details TEXT NOT NULL,
    committed_at_ms BIGINT NOT NULL,
    blob_epoch BIGINT NOT NULL,
    checksum BIGINT NOT NULL
);

INSERT INTO gocdnext_flow_manifest
    (id, epoch, generation, stream_time_ms, horizon, details, committed_at_ms, blob_epoch, checksum)
VALUES (1, 0, 0, NULL, 0, '{}', 0, 0, 4260942242);

CREATE TABLE gocdnext_flow_blob (
    epoch BIGINT NOT NULL,
    lane BIGINT NOT NULL,
    chunk BIGINT NOT NULL,
    chunks BIGINT NOT NULL,
    epoch_rows BIGINT NOT NULL,
    previous_epoch BIGINT NOT NULL,
    checksum BIGINT NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (epoch, lane, chunk)
);

CREATE TABLE gocdnext_flow_lease (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    generation BIGINT NOT NULL,
    beat BIGINT NOT NULL,
    instance_id TEXT NOT NULL,
    holder TEXT NOT NULL,
    released BOOLEAN NOT NULL,
    renewed_at_ms BIGINT NOT NULL
);

INSERT INTO gocdnext_flow_lease (id, generation, beat, instance_id, holder, released, renewed_at_ms)
VALUES (1, 0, 0, '', '', TRUE, 0);
