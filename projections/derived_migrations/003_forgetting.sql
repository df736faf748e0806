-- Sightings that were forgotten while a car still stood before its camera: what is said of them
-- afterwards is to go, too. A row for each time that somebody asked, for the time that is left.
CREATE TABLE forgetting (
    asked      uuid        PRIMARY KEY,
    sightings  jsonb       NOT NULL,  -- ids by partition
    positions  jsonb       NOT NULL,  -- how far the log was looked through, by topic and partition
    until      timestamptz NOT NULL
);
