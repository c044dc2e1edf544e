-- Ids are UUIDs as 16-byte blobs, money is whole cents, times are microseconds UTC, rates decimal text.

CREATE TABLE workspaces (
    id                          BLOB PRIMARY KEY CHECK (length(id) = 16),
    name                        TEXT NOT NULL,
    status                      TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    currency                    TEXT NOT NULL DEFAULT 'KES',
    default_number              TEXT,
    low_balance_threshold_minor INTEGER CHECK (low_balance_threshold_minor >= 0),
    created_at                  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A number without a workspace is inventory.
CREATE TABLE numbers (
    id           BLOB PRIMARY KEY CHECK (length(id) = 16),
    e164         TEXT NOT NULL UNIQUE,
    workspace_id BLOB REFERENCES workspaces (id),
    claimed_at   INTEGER,
    created_at   INTEGER NOT NULL,
    CHECK ((workspace_id IS NULL) = (claimed_at IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX numbers_by_workspace ON numbers (workspace_id, claimed_at, id);

-- Only the SHA-256 of a key is kept.
CREATE TABLE api_keys (
    hash         BLOB PRIMARY KEY CHECK (length(hash) = 32),
    id           BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    workspace_id BLOB NOT NULL REFERENCES workspaces (id),
    name         TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_by_workspace ON api_keys (workspace_id, id);

-- The ledger is the balance: a workspace's balance is its last entry's balance_after_minor.
CREATE TABLE ledger (
    workspace_id        BLOB NOT NULL REFERENCES workspaces (id),
    seq                 INTEGER NOT NULL,
    id                  BLOB NOT NULL CHECK (length(id) = 16),
    kind                TEXT NOT NULL CHECK (kind IN ('topup', 'debit', 'rent', 'adjust')),
    amount_minor        INTEGER NOT NULL,
    balance_after_minor INTEGER NOT NULL,
    call_id             BLOB CHECK (length(call_id) = 16),
    idempotency_key     TEXT NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    description         TEXT NOT NULL DEFAULT '',
    created_at          INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, seq),
    CONSTRAINT ledger_balance_not_negative CHECK (balance_after_minor >= 0),
    CONSTRAINT ledger_sign CHECK (
        CASE kind WHEN 'topup' THEN amount_minor >= 0 WHEN 'adjust' THEN 1 ELSE amount_minor <= 0 END
    ),
    CONSTRAINT ledger_debit_names_its_call CHECK (kind <> 'debit' OR call_id IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX ledger_key ON ledger (workspace_id, idempotency_key);

-- Also refuses INSERT OR REPLACE, which deletes without firing a delete trigger.
CREATE TRIGGER ledger_follows_the_last_entry BEFORE INSERT ON ledger BEGIN
    SELECT RAISE(ABORT, 'ledger: seq and balance must follow the last entry')
    WHERE (NEW.seq, NEW.balance_after_minor) IS NOT (
        SELECT coalesce(max(seq), 0) + 1,
               coalesce((SELECT balance_after_minor FROM ledger
                         WHERE workspace_id = NEW.workspace_id ORDER BY seq DESC LIMIT 1), 0)
               + NEW.amount_minor
        FROM ledger WHERE workspace_id = NEW.workspace_id
    );
END;
CREATE TRIGGER ledger_never_changes BEFORE UPDATE ON ledger BEGIN
    SELECT RAISE(ABORT, 'ledger: entries never change');
END;
CREATE TRIGGER ledger_never_shrinks BEFORE DELETE ON ledger BEGIN
    SELECT RAISE(ABORT, 'ledger: entries never vanish');
END;

-- Clustered by its key, so that a call's row is one place to write. `events` is one JSON array a
-- line, `[id, kind, occurred_at, payload as text]`: appending to the row that changes anyway costs no page
-- of its own. `room` is what an ended row will need more than a ringing one: without it a full page
-- is split by each answer and each end.
CREATE TABLE calls (
    workspace_id          BLOB NOT NULL REFERENCES workspaces (id),
    id                    BLOB NOT NULL CHECK (length(id) = 16),
    session_id            BLOB NOT NULL CHECK (length(session_id) = 16),
    direction             TEXT NOT NULL,
    origin                TEXT NOT NULL,
    identity              TEXT,
    local_e164            TEXT,
    remote_e164           TEXT,
    country               TEXT,
    trunk                 TEXT,
    started_at            INTEGER NOT NULL,
    answered_at           INTEGER,
    ended_at              INTEGER,
    duration_seconds      INTEGER CHECK (duration_seconds >= 0),
    status                TEXT NOT NULL,
    failure_code          INTEGER,
    hangup_cause          TEXT,
    hangup_by             TEXT,
    rate_per_minute_minor TEXT,
    rate_increment        INTEGER,
    rate_minimum_minor    INTEGER,
    rate_fee_minor        INTEGER,
    rate_prefix           TEXT,
    cost_minor            INTEGER NOT NULL CHECK (cost_minor >= 0),
    held_minor            INTEGER NOT NULL,
    quality_mos           REAL,
    quality_jitter_ms     REAL,
    quality_packet_loss   REAL,
    metadata              TEXT,
    created_at            INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    events                TEXT NOT NULL,
    room                  BLOB,
    PRIMARY KEY (workspace_id, id)
) STRICT, WITHOUT ROWID;
-- Most calls are alone in their session, which then is their own id.
CREATE INDEX calls_joined ON calls (workspace_id, session_id, id) WHERE session_id <> id;

-- What answered calls hold, how long each has talked, and what its BYE needs after a restart. A
-- hold is open until its call's row has ended; the writer clears closed ones away many at a time.
CREATE TABLE holds (
    call_id      BLOB PRIMARY KEY CHECK (length(call_id) = 16),
    workspace_id BLOB NOT NULL REFERENCES workspaces (id),
    amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0),
    talked_ms    INTEGER NOT NULL DEFAULT 0 CHECK (talked_ms >= 0),
    dialog       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What a ringing call holds is known to its wallet's actor only.
CREATE VIEW open_holds AS
SELECT h.call_id, h.workspace_id, h.amount_minor, h.talked_ms, h.dialog
FROM holds h
JOIN calls c ON c.workspace_id = h.workspace_id AND c.id = h.call_id
WHERE c.ended_at IS NULL;

CREATE VIEW wallets AS
SELECT w.id AS workspace_id,
       coalesce((SELECT balance_after_minor FROM ledger l
                 WHERE l.workspace_id = w.id ORDER BY l.seq DESC LIMIT 1), 0) AS balance_minor,
       coalesce((SELECT sum(amount_minor) FROM open_holds h WHERE h.workspace_id = w.id), 0)
           AS held_minor,
       w.low_balance_threshold_minor,
       w.status,
       w.currency
FROM workspaces w;

-- What a node's writer commits: one row an item. `parts` says what the row brings: 1 the call,
-- 2 its hold, 4 a debit. One INSERT of many rows is one transaction, and the
-- program that carries it out is compiled once.
CREATE VIEW node_writes AS
SELECT 0 AS parts, c.*, NULL AS dialog, NULL AS entry_id, NULL AS debit_minor, NULL AS debit_key,
       NULL AS debit_description
FROM calls c;

CREATE TRIGGER node_writes_are_done INSTEAD OF INSERT ON node_writes BEGIN
    -- A row that has ended never changes.
    INSERT INTO calls (
        workspace_id, id, session_id, direction, origin, identity, local_e164, remote_e164, country,
        trunk, started_at, answered_at, ended_at, duration_seconds, status, failure_code,
        hangup_cause, hangup_by, rate_per_minute_minor, rate_increment, rate_minimum_minor,
        rate_fee_minor, rate_prefix, cost_minor, held_minor, quality_mos, quality_jitter_ms,
        quality_packet_loss, metadata, created_at, updated_at, events, room
    )
    SELECT NEW.workspace_id, NEW.id, NEW.session_id, NEW.direction, NEW.origin, NEW.identity,
           NEW.local_e164, NEW.remote_e164, NEW.country, NEW.trunk, NEW.started_at, NEW.answered_at,
           NEW.ended_at, NEW.duration_seconds, NEW.status, NEW.failure_code, NEW.hangup_cause,
           NEW.hangup_by, NEW.rate_per_minute_minor, NEW.rate_increment, NEW.rate_minimum_minor,
           NEW.rate_fee_minor, NEW.rate_prefix, NEW.cost_minor, NEW.held_minor, NEW.quality_mos,
           NEW.quality_jitter_ms, NEW.quality_packet_loss, NEW.metadata, NEW.created_at,
           NEW.updated_at, NEW.events, NEW.room
    WHERE NEW.parts & 1
    ON CONFLICT (workspace_id, id) DO UPDATE SET
        session_id = excluded.session_id, identity = excluded.identity,
        local_e164 = excluded.local_e164, remote_e164 = excluded.remote_e164,
        country = excluded.country, trunk = excluded.trunk, answered_at = excluded.answered_at,
        ended_at = excluded.ended_at, duration_seconds = excluded.duration_seconds,
        status = excluded.status, failure_code = excluded.failure_code,
        hangup_cause = excluded.hangup_cause, hangup_by = excluded.hangup_by,
        rate_per_minute_minor = excluded.rate_per_minute_minor,
        rate_increment = excluded.rate_increment, rate_minimum_minor = excluded.rate_minimum_minor,
        rate_fee_minor = excluded.rate_fee_minor, rate_prefix = excluded.rate_prefix,
        cost_minor = excluded.cost_minor, held_minor = excluded.held_minor,
        quality_mos = excluded.quality_mos, quality_jitter_ms = excluded.quality_jitter_ms,
        quality_packet_loss = excluded.quality_packet_loss, metadata = excluded.metadata,
        updated_at = excluded.updated_at,
        -- A row has a bound; how a call ended is always told.
        events = CASE WHEN length(calls.events) < 65536 OR excluded.ended_at IS NOT NULL
                      THEN calls.events || excluded.events ELSE calls.events END,
        room = excluded.room
    WHERE calls.ended_at IS NULL;

    INSERT INTO holds (call_id, workspace_id, amount_minor, dialog)
    SELECT NEW.id, NEW.workspace_id, NEW.held_minor, NEW.dialog
    WHERE NEW.parts & 2
    ON CONFLICT DO NOTHING;

    INSERT INTO ledger (
        workspace_id, seq, id, kind, amount_minor, balance_after_minor, call_id, idempotency_key,
        description, created_at
    )
    SELECT NEW.workspace_id,
           coalesce((SELECT seq FROM ledger
                     WHERE workspace_id = NEW.workspace_id ORDER BY seq DESC LIMIT 1), 0) + 1,
           NEW.entry_id, 'debit', -NEW.debit_minor,
           coalesce((SELECT balance_after_minor FROM ledger
                     WHERE workspace_id = NEW.workspace_id ORDER BY seq DESC LIMIT 1), 0)
               - NEW.debit_minor,
           NEW.id, NEW.debit_key, NEW.debit_description, NEW.updated_at
    WHERE NEW.parts & 4;
END;

-- Answers of the HTTP API that are given again. `answered_at` is null while the first request runs.
CREATE TABLE idempotency (
    workspace_id BLOB NOT NULL REFERENCES workspaces (id),
    key          TEXT NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_hash BLOB NOT NULL CHECK (length(request_hash) = 32),
    started_at   INTEGER NOT NULL,
    answered_at  INTEGER,
    status       INTEGER,
    -- The whole body; of an answer that showed a secret only the id of what was made.
    body         TEXT,
    secret       INTEGER NOT NULL DEFAULT 0 CHECK (secret IN (0, 1)),
    PRIMARY KEY (workspace_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (started_at);

-- Moves with everything that other processes must notice: gateways read it once a second.
CREATE TABLE directory_version (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO directory_version (id, version) VALUES (1, 1);

CREATE TRIGGER directory_sees_new_workspaces AFTER INSERT ON workspaces BEGIN
    UPDATE directory_version SET version = version + 1;
END;
CREATE TRIGGER directory_sees_changed_workspaces AFTER UPDATE ON workspaces BEGIN
    UPDATE directory_version SET version = version + 1;
END;
CREATE TRIGGER directory_sees_new_numbers AFTER INSERT ON numbers BEGIN
    UPDATE directory_version SET version = version + 1;
END;
CREATE TRIGGER directory_sees_changed_numbers AFTER UPDATE ON numbers BEGIN
    UPDATE directory_version SET version = version + 1;
END;
CREATE TRIGGER directory_sees_gone_numbers AFTER DELETE ON numbers BEGIN
    UPDATE directory_version SET version = version + 1;
END;
CREATE TRIGGER directory_sees_new_keys AFTER INSERT ON api_keys BEGIN
    UPDATE directory_version SET version = version + 1;
END;
CREATE TRIGGER directory_sees_changed_keys AFTER UPDATE ON api_keys BEGIN
    UPDATE directory_version SET version = version + 1;
END;
CREATE TRIGGER directory_sees_gone_keys AFTER DELETE ON api_keys BEGIN
    UPDATE directory_version SET version = version + 1;
END;
-- A gateway posts debits itself and knows of them; what others post it must read.
CREATE TRIGGER directory_sees_credits AFTER INSERT ON ledger WHEN NEW.kind <> 'debit' BEGIN
    UPDATE directory_version SET version = version + 1;
END;
