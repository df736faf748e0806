-- What projections/listed.py has matched: entries of watchlists with the plates that they mean.

CREATE TABLE listed_entries (
    watchlist text COLLATE "C" NOT NULL,
    entry     text COLLATE "C" NOT NULL,
    match     text             NOT NULL,
    keys      integer[],               -- of a fuzzy one, as in plates
    PRIMARY KEY (watchlist, entry)
);
CREATE INDEX idx_listed_entries_entry ON listed_entries (entry);
CREATE INDEX idx_listed_entries_keys ON listed_entries USING gin (keys) WITH (fastupdate = off);

-- Plates that are new in the index, yet to be matched.
CREATE TABLE fresh_plates (
    text text COLLATE "C" PRIMARY KEY
);
