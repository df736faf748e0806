-- How many plates of a day (UTC) there were at which of its 96 quarters of an hour: a local day
-- begins at one of them, and its plates follow from three sums. A day without a row is to be counted.
CREATE TABLE plate_marks (
    day     date      PRIMARY KEY,
    last    integer[] NOT NULL,  -- by their last time of the day
    renewed integer[] NOT NULL,  -- by the first time and, if later, that of the day before, 24 h on
    new     integer[] NOT NULL   -- by their first time of all
);

-- The quarter of a day that a time is in: -1 for any of an earlier day, NULL for NULL.
CREATE FUNCTION quarter_of(at timestamptz, day date) RETURNS integer LANGUAGE sql STABLE
    RETURN greatest(-1, floor((extract(epoch FROM at)
        - extract(epoch FROM day::timestamp)) / 900)::integer);

-- What a plate's days are asked for is all in the index.
ALTER TABLE plate_days DROP CONSTRAINT plate_days_pkey;
ALTER TABLE plate_days ADD PRIMARY KEY (plate, day) INCLUDE (sightings, first_at, last_at);
