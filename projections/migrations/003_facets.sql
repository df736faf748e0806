-- For pages of sightings by values that are rare: of which there are few (site, zone, colour …), in
-- one index whose lists are compressed. Of those that are common idx_captured_at soon has a page.
-- The expression is that of projections/filters.py.
CREATE INDEX idx_facets ON plate_events USING gin ((
    ARRAY[
        'site ' || site_id, 'zone ' || zone, 'status ' || status, 'direction ' || direction,
        'region ' || plate_region, 'type ' || vehicle_type, 'colour ' || vehicle_color,
        'make ' || vehicle_make, 'model ' || vehicle_model,
        'sure ' || floor(10 * least(1, greatest(0, plate_confidence)))::integer::text
    ]
)) WITH (gin_pending_list_limit = 256);  -- kB: a search reads the list through

-- Other texts that a sighting was read as, for the full text.
CREATE INDEX idx_other_texts ON plate_events
    USING gin (was jsonb_path_ops, alternatives jsonb_path_ops) WITH (gin_pending_list_limit = 256);

-- Which values are rare is known only from then on.
ANALYZE plate_events;
