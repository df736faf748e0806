-- What followers derive from the sightings' view. All of it can be dropped: it is made again.

-- How far each follower has read. A view that was rebuilt is another table, so view names it.
CREATE TABLE cursors (
    chore   text   PRIMARY KEY,
    view    oid    NOT NULL,
    changes bigint NOT NULL
);

-- Every plate that a sighting has, as read and as corrected, with what it is found by.
CREATE TABLE plates (
    text      text COLLATE "C" PRIMARY KEY,
    folded    text COLLATE "C" NOT NULL,  -- confusable characters as the first of their class
    keys      integer[]        NOT NULL,  -- of its deletion neighbourhood, rules/neighbourhood.py
    grams     text[] COLLATE "C" NOT NULL,  -- of three characters, its ends marked ^ and $
    pseudonym text
);
-- Without a list of pending entries, which a search would read through and clear.
CREATE INDEX idx_plates_folded ON plates (folded);
CREATE INDEX idx_plates_keys ON plates USING gin (keys) WITH (fastupdate = off);
CREATE INDEX idx_plates_grams ON plates USING gin (grams) WITH (fastupdate = off);
CREATE INDEX idx_plates_pseudonym ON plates (pseudonym) WHERE pseudonym IS NOT NULL;
