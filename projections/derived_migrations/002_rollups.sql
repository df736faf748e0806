-- What analytics are answered from: counts of the sightings that stand, as people are shown them.
-- projections/rollups.py recounts the hours and days that changed from the sightings themselves.

-- Hours that are to be counted again. What is not in it is as the sightings are.
CREATE TABLE stale_hours (
    hour timestamptz PRIMARY KEY
);

-- Sightings by quarter of an hour: local hours and days begin at one in every time zone.
CREATE TABLE counted_quarters (
    quarter      timestamptz NOT NULL,
    camera_id    text        NOT NULL,
    site_id      text        NOT NULL,
    vehicle_type text        NOT NULL,  -- '' where it is not known
    region       text        NOT NULL,
    sightings    integer     NOT NULL,
    PRIMARY KEY (quarter, camera_id, site_id, vehicle_type, region)
);

-- How long they stayed, how well and how quickly they were read, by hour (UTC). The arrays are
-- histograms, all of one length each; rules/spread.py has their edges.
CREATE TABLE counted_hours (
    hour       timestamptz NOT NULL,
    camera_id  text        NOT NULL,
    site_id    text        NOT NULL,
    held       integer     NOT NULL,  -- rows of the view, whatever became of them
    sightings  integer     NOT NULL,  -- those that stand
    reads      bigint      NOT NULL,
    revised    integer     NOT NULL,  -- said with another text before
    corrected  integer     NOT NULL,  -- a person said what the plate really was
    hidden     integer     NOT NULL,  -- a person said that it is none, or part of another
    retracted  integer     NOT NULL,  -- by the rules: no plate
    merged     integer     NOT NULL,  -- by the rules: part of another
    dwell      integer[]   NOT NULL,
    confidence integer[]   NOT NULL,
    latency    integer[]   NOT NULL,
    read_often integer[]   NOT NULL,
    PRIMARY KEY (hour, camera_id, site_id)
);

-- Plates by day (UTC). When it was there last before makes local days of any zone countable:
-- a plate counts where it is first there on a day, and is new where it was never there before.
CREATE TABLE plate_days (
    plate     text COLLATE "C" NOT NULL,
    day       date             NOT NULL,
    sightings integer          NOT NULL,
    first_at  timestamptz      NOT NULL,
    last_at   timestamptz      NOT NULL,
    before    timestamptz,               -- the latest last_at of an earlier day
    PRIMARY KEY (plate, day)
) WITH (fillfactor = 90);
CREATE INDEX idx_plate_days_day ON plate_days (day);

-- All sightings of a plate: which plates can be among the most frequent of a time.
CREATE TABLE plate_totals (
    plate     text COLLATE "C" PRIMARY KEY,
    sightings bigint NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX idx_plate_totals ON plate_totals (sightings DESC);
