-- What became of each request. Booleans are 0 or 1; lists and objects are JSON; times are seconds since 1970.
CREATE TABLE requests (
    id TEXT PRIMARY KEY,
    at_s DOUBLE PRECISION NOT NULL,
    request_id TEXT NOT NULL,
    trace_id TEXT,
    tenant TEXT NOT NULL,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    error TEXT,
    model TEXT,
    cache TEXT,
    stop_reason TEXT,
    confidence DOUBLE PRECISION,
    top_score DOUBLE PRECISION,
    n_candidates BIGINT NOT NULL,
    n_citations BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cost_usd DOUBLE PRECISION,
    duration_s DOUBLE PRECISION NOT NULL,
    ttft_s DOUBLE PRECISION,
    degraded TEXT NOT NULL,
    stages_s TEXT NOT NULL,
    lineage TEXT,
    cited TEXT NOT NULL,
    question TEXT,
    answer TEXT,
    probability DOUBLE PRECISION NOT NULL,
    kept INTEGER NOT NULL,
    n_bytes BIGINT NOT NULL
);
CREATE INDEX requests_by_time ON requests (at_s);
CREATE INDEX requests_by_name ON requests (tenant, request_id);

CREATE TABLE feedback (
    id TEXT PRIMARY KEY,
    record_id TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
    at_s DOUBLE PRECISION NOT NULL,
    tenant TEXT NOT NULL,
    subject TEXT NOT NULL,
    thumb TEXT NOT NULL,
    comment TEXT,
    correction TEXT
);
CREATE INDEX feedback_by_record ON feedback (record_id);
