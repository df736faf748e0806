-- What is to be delivered, to whom and when. Times are microseconds since 1970 UTC, of the clock of
-- who writes them. What is read from the log is text that may hold anything but NUL.

-- How far alpr.alerts has been read, and of which log.
CREATE TABLE positions (
    topic       text    NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint  NOT NULL,
    log_uuid    text    NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- Each alert as it stands, to tell news from repeats: rules.alerts.life.Alert as JSON.
CREATE TABLE alerts (
    alert_id text   PRIMARY KEY,
    life     text   NOT NULL,
    touched  bigint NOT NULL
);
CREATE INDEX alerts_touched ON alerts (touched);

-- Alerts that nobody has acknowledged yet: who else is told at `due`; `event` as on alpr.alerts.
CREATE TABLE escalations (
    alert_id text   PRIMARY KEY,
    due      bigint NOT NULL,
    event    bytea  NOT NULL
);
CREATE INDEX escalations_due ON escalations (due);

-- A lane leads to one target of one channel. `failures` in a row; nothing is taken from it before
-- `open_until` (circuit breaker) and `limited_until` (rate limit, Retry-After); `paced` is when the
-- next one would be due if all came evenly (GCRA's theoretical arrival time).
CREATE TABLE lanes (
    lane          text    PRIMARY KEY,
    failures      integer NOT NULL DEFAULT 0,
    open_until    bigint  NOT NULL DEFAULT 0,
    limited_until bigint  NOT NULL DEFAULT 0,
    paced         bigint  NOT NULL DEFAULT 0
);

-- Until when alerts of one rule, action, target and kind are held, to be told together.
CREATE TABLE storms (
    storm text   PRIMARY KEY,
    until bigint NOT NULL
);

-- `state`: held (until its storm's window ends), waiting (to be sent at `due`), bundled (told in
-- the message of `bundle`), done (`outcome` says how it ended; what it said is gone by then).
CREATE TABLE deliveries (
    seq             bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    notification_id uuid    NOT NULL UNIQUE,
    alert_id        text    NOT NULL,
    kind            text    NOT NULL,
    channel         text    NOT NULL,
    target          text    NOT NULL,
    lane            text    NOT NULL,
    storm           text    NOT NULL,
    state           text    NOT NULL CHECK (state IN ('held', 'waiting', 'bundled', 'done')),
    bundle          uuid,
    due             bigint  NOT NULL,
    queued_at       bigint  NOT NULL,
    expires         bigint  NOT NULL,
    attempts        integer NOT NULL DEFAULT 0,
    outcome         text,
    options         text,   -- JSON
    rate            text    NOT NULL,
    window_us       bigint  NOT NULL,
    description     text    NOT NULL,
    partition       integer NOT NULL,  -- place of the alert's record, to name it in a dead letter
    log_offset      bigint  NOT NULL,
    appended_at     bigint  NOT NULL,
    value           bytea,
    headers         bytea[]            -- name, value, name, value …
);
CREATE INDEX deliveries_waiting ON deliveries (lane, due, seq) WHERE state = 'waiting';
CREATE INDEX deliveries_held ON deliveries (storm) WHERE state = 'held';
CREATE INDEX deliveries_bundled ON deliveries (bundle) WHERE state = 'bundled';
CREATE INDEX deliveries_of_alert ON deliveries (alert_id, lane, seq);
CREATE INDEX deliveries_open ON deliveries (expires) WHERE state <> 'done';
CREATE INDEX deliveries_done ON deliveries (queued_at) WHERE state = 'done';
