-- The sightings, their evidence, and how far they have been read. No column takes its value from
-- the clock: created_at is when the log received the read that opened the sighting, so that a
-- rebuilt view has the same values.

CREATE TABLE plate_events (
    event_id              uuid             NOT NULL,
    captured_at           timestamptz      NOT NULL,
    camera_id             text             NOT NULL,
    track_id              text             NOT NULL,
    plate_text            text             NOT NULL,
    plate_normalized_text text COLLATE "C" NOT NULL,  -- so that the index serves prefixes
    plate_confidence      double precision NOT NULL,
    plate_region          text,
    vehicle_type          text,
    vehicle_make          text,
    vehicle_model         text,
    vehicle_color         text,
    plate_image_url       text             NOT NULL,
    vehicle_image_url     text             NOT NULL,
    frame_image_url       text             NOT NULL,
    latency_ms            bigint           NOT NULL,
    quality_score         double precision NOT NULL,
    frame_number          bigint           NOT NULL,
    site_id               text             NOT NULL,
    host_id               text             NOT NULL,
    roi                   text,
    direction             text,
    created_at            timestamptz      NOT NULL,
    status                text             NOT NULL,
    revision              bigint           NOT NULL,
    partition             integer          NOT NULL,
    first_seen            timestamptz      NOT NULL,
    last_seen             timestamptz      NOT NULL,
    camera_group          text,
    zone                  text             NOT NULL,
    lane                  text             NOT NULL,
    latitude              double precision,
    longitude             double precision,
    timezone              text             NOT NULL,
    reads                 bigint           NOT NULL,
    tracks                bigint           NOT NULL,
    texts                 integer          NOT NULL,
    merged_into           uuid,
    reason                text,
    rules_version         text             NOT NULL,
    was                   jsonb            NOT NULL,
    alternatives          jsonb            NOT NULL,
    box                   jsonb            NOT NULL,
    evidence              jsonb            NOT NULL,  -- positions and reads, as in the log
    PRIMARY KEY (event_id, captured_at)
);

CREATE INDEX idx_plate_normalized ON plate_events (plate_normalized_text, captured_at DESC);
CREATE INDEX idx_camera_time ON plate_events (camera_id, captured_at DESC);
CREATE INDEX idx_created_at ON plate_events (created_at DESC, event_id);
CREATE INDEX idx_captured_at ON plate_events (captured_at DESC, event_id);

-- What was erased stays erased, whatever is appended after the tombstone.
CREATE TABLE erased_events (
    event_id uuid PRIMARY KEY
);

-- The evidence as rows. It is stored in its event's row because it is only ever replaced whole.
CREATE VIEW plate_reads AS
SELECT
    event.event_id,
    event.captured_at AS event_captured_at,
    read.read_id,
    read.camera_id,
    read.track_id,
    to_timestamp(0) + read.captured_at * interval '1 microsecond' AS captured_at,
    read.frame_number,
    read.text AS plate_text,
    read.normalized_text AS plate_normalized_text,
    read.confidence AS plate_confidence,
    read.char_confidences,
    read.quality AS quality_score,
    read.box,
    read.images ->> 'plate_url' AS plate_image_url,
    read.images ->> 'vehicle_url' AS vehicle_image_url,
    read.images ->> 'frame_url' AS frame_image_url,
    read.reader
FROM plate_events AS event,
    jsonb_to_recordset(event.evidence -> 'reads') AS read (
        read_id text,
        camera_id text,
        track_id text,
        captured_at bigint,
        frame_number bigint,
        text text,
        normalized_text text,
        confidence double precision,
        char_confidences jsonb,
        quality double precision,
        box jsonb,
        images jsonb,
        reader text
    );

CREATE VIEW plate_events_stats AS
SELECT
    count(*) AS total_events,
    count(DISTINCT plate_normalized_text) AS unique_plates,
    count(DISTINCT camera_id) AS active_cameras,
    min(captured_at) AS earliest_event,
    max(captured_at) AS latest_event,
    avg(plate_confidence) AS avg_confidence,
    avg(latency_ms)::double precision AS avg_latency_ms
FROM plate_events
WHERE status <> 'retracted';

-- Whose view this is. changes counts the rows ever written; its row lock orders their numbers.
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
    watermark   bigint,  -- microseconds of event time
    log_uuid    text    NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- The latest changes, a row for each batch: event_ids are numbered up to last_change.
CREATE TABLE view_changes (
    last_change bigint PRIMARY KEY,
    event_ids   uuid[] NOT NULL
);
