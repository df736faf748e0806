-- Alerts as they stand, their history, what became of telling them, and the rules and watchlists
-- in force. No column takes its value from the clock of whoever writes it.

CREATE TABLE alerts (
    alert_id        uuid             PRIMARY KEY,
    rule            text             NOT NULL,
    rule_version    text             NOT NULL,
    severity        text             NOT NULL,
    state           text             NOT NULL,
    subject         text             NOT NULL,
    plate           text COLLATE "C",  -- so that the index serves prefixes
    text            text,
    confidence      double precision NOT NULL,
    camera_id       text,
    site            text             NOT NULL,
    zone            text             NOT NULL,
    timezone        text             NOT NULL,
    message         text             NOT NULL,
    count           bigint           NOT NULL,
    event_id        text,
    revision        bigint,
    event_ids       text[]           NOT NULL,
    first_at        timestamptz,
    last_at         timestamptz,
    raised_at       timestamptz      NOT NULL,
    images          jsonb,
    watched         jsonb,
    was             text[]           NOT NULL,
    near_change     boolean          NOT NULL,
    withdrawn_at    timestamptz,
    reason          text,
    acknowledged_by text,
    acknowledged_at timestamptz,
    resolved_by     text,
    resolved_at     timestamptz,
    escalated_at    timestamptz,
    comments        integer          NOT NULL,
    seen            bigint[]         NOT NULL,  -- to know a repeat by: rules/alerts/life.py
    change          bigint           NOT NULL   -- number of its last change
) WITH (fillfactor = 80);

CREATE INDEX alerts_by_time ON alerts (raised_at DESC, alert_id);
CREATE INDEX alerts_by_state ON alerts (state, severity, raised_at DESC);
CREATE INDEX alerts_by_plate ON alerts (plate, raised_at DESC);
CREATE INDEX alerts_by_camera ON alerts (camera_id, raised_at DESC);
CREATE INDEX alerts_by_rule ON alerts (rule, raised_at DESC);
CREATE INDEX alerts_by_event ON alerts (event_id);
CREATE INDEX alerts_by_change ON alerts (change);

-- What was news in an alert's life, in the order of its log. event is the record, whole: what the
-- log no longer holds, a rebuild takes from here.
CREATE TABLE alert_history (
    alert_id    uuid        NOT NULL,
    partition   integer     NOT NULL,
    log_offset  bigint      NOT NULL,
    appended_at timestamptz NOT NULL,
    at          timestamptz NOT NULL,
    kind        text        NOT NULL,
    actor       text,
    comment     text,
    reason      text,
    message     text        NOT NULL,
    count       bigint      NOT NULL,
    event       jsonb       NOT NULL,
    PRIMARY KEY (alert_id, partition, log_offset)
);

-- What was erased stays erased, whatever is appended after the tombstone.
CREATE TABLE erased_alerts (
    alert_id uuid   PRIMARY KEY,
    change   bigint NOT NULL
);
CREATE INDEX erased_alerts_by_change ON erased_alerts (change);

CREATE TABLE notifications (
    notification_id text        NOT NULL,
    attempt         integer     NOT NULL,
    outcome         text        NOT NULL,
    alert_id        uuid        NOT NULL,
    channel         text        NOT NULL,
    target          text        NOT NULL,
    at              timestamptz NOT NULL,
    detail          text        NOT NULL,
    duration_ms     bigint      NOT NULL,
    partition       integer     NOT NULL,
    log_offset      bigint      NOT NULL,
    PRIMARY KEY (notification_id, attempt, outcome)
);
CREATE INDEX notifications_by_alert ON notifications (alert_id, at);
CREATE INDEX notifications_by_time ON notifications (at DESC);

CREATE TABLE rule_versions (
    log_offset     bigint      PRIMARY KEY,
    name           text        NOT NULL,
    version        text,                    -- twelve hexadecimal digits; null: removed
    definition     text,                    -- canonical JSON, as in the log
    description    text        NOT NULL,
    severity       text,
    enabled        boolean     NOT NULL,
    effective_from timestamptz NOT NULL,
    in_force_from  timestamptz NOT NULL,    -- of the log's time
    appended_at    timestamptz NOT NULL,
    actor          text        NOT NULL
);
CREATE INDEX rule_versions_by_name ON rule_versions (name, in_force_from DESC, log_offset DESC);

CREATE TABLE watchlist (
    watchlist      text COLLATE "C" NOT NULL,
    plate          text COLLATE "C" NOT NULL,
    kind           text             NOT NULL,
    match          text             NOT NULL,
    valid_from     timestamptz,
    valid_to       timestamptz,
    owner          text             NOT NULL,
    reason         text             NOT NULL,
    tags           text[]           NOT NULL,
    effective_from timestamptz      NOT NULL,
    appended_at    timestamptz      NOT NULL,
    actor          text             NOT NULL,
    PRIMARY KEY (watchlist, plate)
);

-- Whose view this is. changes counts what ever changed; its row lock orders their numbers.
CREATE TABLE view_state (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    log_uuid   text,
    changes    bigint NOT NULL,
    known_from bigint NOT NULL DEFAULT 0  -- a rebuild begins the list of changes anew
);
INSERT INTO view_state (log_uuid, changes) VALUES (NULL, 0);

CREATE TABLE view_positions (
    topic       text    NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint  NOT NULL,
    log_uuid    text    NOT NULL,
    PRIMARY KEY (topic, partition)
);
