-- What is read before this offset is history: it is known, and told to nobody.
ALTER TABLE positions ADD COLUMN told_from bigint NOT NULL DEFAULT 0;
