-- What followers derive from the sightings' view. All of it can be dropped: it is made again.

-- How far each follower has read. A view that was rebuilt is another table, so view names it.
CREATE TABLE cursors (
    chore   text   PRIMARY KEY,
    view    oid    NOT NULL,
    changes bigint NOT NULL
);

-- Every plate of a sighting, as read and as corrected, with what it is found by: rules/wildcard.py,
-- rules/neighbourhood.py.
CREATE TABLE plates (
    text      text COLLATE "C" NOT NULL,
    folded    text COLLATE "C" NOT NULL,  -- each confusable character as the first of its class
    keys      integer[]        NOT NULL,  -- of the deletion neighbourhood of folded
    grams     integer[]        NOT NULL,  -- of the parts of folded
    pseudonym text                        -- null: not yet known
);
-- As projections/plate_index.py makes them, which fills a new table first. Without a list of
-- pending entries, which each search would read through.
ALTER TABLE plates ADD CONSTRAINT plates_pkey PRIMARY KEY (text);
CREATE INDEX idx_plates_folded ON plates (folded);
CREATE INDEX idx_plates_keys ON plates USING gin (keys) WITH (fastupdate = off);
CREATE INDEX idx_plates_grams ON plates USING gin (grams) WITH (fastupdate = off);
CREATE INDEX idx_plates_pseudonym ON plates (pseudonym);

-- Words that sightings are described by, for the full text.
CREATE TABLE vocabulary (
    field text NOT NULL,  -- a column of plate_events
    value text NOT NULL,
    PRIMARY KEY (field, value)
);

-- Plates that wildcard and fuzzy entries of watchlists mean.
CREATE TABLE listed (
    watchlist text COLLATE "C" NOT NULL,
    entry     text COLLATE "C" NOT NULL,
    text      text COLLATE "C" NOT NULL,
    PRIMARY KEY (watchlist, entry, text)
);
CREATE INDEX idx_listed_text ON listed (text);
