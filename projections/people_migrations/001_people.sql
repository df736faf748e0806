-- What people said and did: corrections of sightings, cameras' settings, who looked at what. From
-- alpr.corrections, alpr.cameras and alpr.audit, each with positions of its own. No column takes
-- its value from the clock.

-- Every correction that was ever said.
CREATE TABLE corrections (
    correction_id uuid        NOT NULL,
    event_id      uuid        NOT NULL,
    at            timestamptz NOT NULL,
    actor         text        NOT NULL,
    kind          text        NOT NULL,  -- text, merge, no plate, undo
    text          text COLLATE "C",
    other         uuid,                  -- the sighting it is one with, or the correction undone
    comment       text        NOT NULL,
    undone_by     uuid,
    partition     integer     NOT NULL,
    log_offset    bigint      NOT NULL,
    PRIMARY KEY (event_id, correction_id)
);
CREATE INDEX idx_corrections_at ON corrections (at DESC, correction_id);

-- What stands of them, a row a sighting that somebody corrected: joined when sightings are read.
CREATE TABLE corrected (
    event_id      uuid        PRIMARY KEY,
    text          text COLLATE "C",      -- what the plate really was, normalised; null: as read
    hidden        boolean     NOT NULL,  -- it is no plate, or part of another sighting
    merged_into   uuid,
    correction_id uuid        NOT NULL,  -- the latest that stands
    actor         text        NOT NULL,
    at            timestamptz NOT NULL,
    comment       text        NOT NULL
);
CREATE INDEX idx_corrected_text ON corrected (text) WHERE text IS NOT NULL;
CREATE INDEX idx_corrected_hidden ON corrected (event_id) WHERE hidden;

CREATE TABLE audit (
    audit_id uuid        PRIMARY KEY,
    at       timestamptz NOT NULL,
    actor    text        NOT NULL,
    action   text        NOT NULL,
    subject  text        NOT NULL,
    reason   text        NOT NULL,
    found    text[]      NOT NULL  -- pseudonyms of the plates that were shown
);
CREATE INDEX idx_audit_at ON audit (at DESC, audit_id);
CREATE INDEX idx_audit_actor ON audit (actor, at DESC);
CREATE INDEX idx_audit_subject ON audit (subject, at DESC);
CREATE INDEX idx_audit_found ON audit USING gin (found);

-- Cameras as they stand; every version is in camera_versions.
CREATE TABLE cameras (
    camera_id      text COLLATE "C" PRIMARY KEY,
    effective_from timestamptz NOT NULL,
    camera_group   text,
    node           jsonb       NOT NULL,
    settings       jsonb,               -- null: removed
    actor          text        NOT NULL
);
CREATE TABLE camera_versions (
    camera_id      text COLLATE "C" NOT NULL,
    effective_from timestamptz NOT NULL,
    log_offset     bigint      NOT NULL,
    camera_group   text,
    node           jsonb       NOT NULL,
    settings       jsonb,
    actor          text        NOT NULL,
    PRIMARY KEY (camera_id, log_offset)
);

CREATE TABLE view_state (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    log_uuid  text,
    changes   bigint NOT NULL
);
INSERT INTO view_state (log_uuid, changes) VALUES (NULL, 0);

CREATE TABLE view_positions (
    topic       text    NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint  NOT NULL,
    log_uuid    text    NOT NULL,
    PRIMARY KEY (topic, partition)
);
