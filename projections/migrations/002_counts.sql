-- What /stats tells, counted as the rows are written: counting a million rows takes a second.
-- Sums are whole numbers, so that no order of adding shows: confidence in parts of 1e9.

CREATE TABLE sighting_counts (
    kind      text             NOT NULL,  -- 'camera' or 'plate'
    name      text COLLATE "C" NOT NULL,
    sightings bigint           NOT NULL,  -- that are not retracted; a row of none is deleted
    PRIMARY KEY (kind, name)
) WITH (fillfactor = 70);

ALTER TABLE view_state
    ADD COLUMN sightings     bigint      NOT NULL DEFAULT 0,
    ADD COLUMN plates        bigint      NOT NULL DEFAULT 0,
    ADD COLUMN cameras       bigint      NOT NULL DEFAULT 0,
    ADD COLUMN confidence    numeric     NOT NULL DEFAULT 0,
    ADD COLUMN latency_ms    numeric     NOT NULL DEFAULT 0,
    ADD COLUMN retained_from timestamptz NOT NULL DEFAULT '-infinity',  -- nothing older is held
    ADD COLUMN rebuilt_from  timestamptz,  -- older sightings were taken over, not replayed
    ADD COLUMN taken_until   timestamptz;  -- how far that is

INSERT INTO sighting_counts
SELECT kind, name, count(*)
FROM plate_events, LATERAL (
    VALUES ('camera', camera_id), ('plate', plate_normalized_text)
) AS named (kind, name)
WHERE status <> 'retracted'
GROUP BY kind, name;

UPDATE view_state SET (sightings, plates, cameras, confidence, latency_ms) = (
    SELECT
        count(*),
        count(DISTINCT plate_normalized_text),
        count(DISTINCT camera_id),
        coalesce(sum((round(least(1, greatest(0, plate_confidence)) * 1e9))::bigint), 0),
        coalesce(sum(latency_ms), 0)
    FROM plate_events
    WHERE status <> 'retracted'
);

DROP VIEW plate_events_stats;
CREATE VIEW plate_events_stats AS
SELECT
    sightings AS total_events,
    plates AS unique_plates,
    cameras AS active_cameras,
    (SELECT captured_at FROM plate_events WHERE status <> 'retracted'
     ORDER BY captured_at, event_id DESC LIMIT 1) AS earliest_event,
    (SELECT captured_at FROM plate_events WHERE status <> 'retracted'
     ORDER BY captured_at DESC, event_id LIMIT 1) AS latest_event,
    (confidence / 1e9 / nullif(sightings, 0))::double precision AS avg_confidence,
    (latency_ms / nullif(sightings, 0))::double precision AS avg_latency_ms
FROM view_state;

-- Sightings by hour of capture (UTC) and camera. TimescaleDB keeps it as a continuous aggregate.
CREATE VIEW plate_events_hourly AS
SELECT
    date_bin('1 hour', captured_at, timestamptz '2000-01-01 00:00:00+00') AS hour,
    camera_id,
    count(*) AS sightings,
    count(DISTINCT plate_normalized_text) AS unique_plates
FROM plate_events
WHERE status <> 'retracted'
GROUP BY 1, 2;
