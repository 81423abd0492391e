-- Documents that were handed in and wait for a worker, or that failed; what was indexed stays for a while. `acl` and
-- `grants` are JSON lists; times are seconds since 1970.
CREATE TABLE submissions (
    tenant TEXT NOT NULL,
    document_id TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    uri TEXT NOT NULL,
    digest TEXT NOT NULL,
    lane TEXT NOT NULL,
    acl TEXT NOT NULL,
    grants TEXT,
    body BYTEA,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    reason TEXT NOT NULL,
    transient INTEGER NOT NULL,
    outcome TEXT,
    submitted_s DOUBLE PRECISION NOT NULL,
    changed_s DOUBLE PRECISION NOT NULL,
    offered_s DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (tenant, document_id)
);
CREATE INDEX submissions_by_state ON submissions (state, lane, submitted_s);
CREATE INDEX submissions_by_change ON submissions (changed_s);

-- Who works on what, and until when others have to believe it.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until_s DOUBLE PRECISION NOT NULL
);
