"""A year of sightings in a database, made there: millions in minutes, the same each time.

Plates are skewed as on a road: a few pass daily, most once. Cameras, hours of the day, makes of
reads and confidences are spread plausibly; evidence is short, since nothing here looks at it.
"""

from contextlib import closing

from projections.database import connect
from projections.schema import LIVE, migrate

DAYS = 365
CAMERAS = 30
LAST = "2025-12-31 12:00:00+00"
"""The newest sighting is captured then."""
_CHUNK = 500_000

# Uniform and independent numbers of n, the same each time: 52 bits of a hash.
_CHANCE = "(hashint8extended({n}, {seed}) & 4503599627370495) / 4503599627370496.0::float8"

_INSERT = """
INSERT INTO plate_events
SELECT
    md5('sighting ' || n)::uuid, at, camera, 't-' || n, plate, plate,
    0.7 + 0.3 * sqrt(c), CASE WHEN plate_number % 50 < 40 THEN 'VN' WHEN plate_number % 50 < 46
        THEN 'LA' WHEN plate_number % 50 < 49 THEN 'KH' END,
    (ARRAY['car', 'car', 'car', 'car', 'car', 'car', 'motorcycle', 'motorcycle', 'truck', 'bus'])
        [1 + (plate_number % 10)], NULL, NULL,
    (ARRAY['white', 'black', 'grey', 'red', 'blue', NULL])[1 + (plate_number % 6)],
    'images/' || n || '-plate.jpg', '', 'images/' || n || '-frame.jpg',
    40 + (400 * d * d * d)::bigint, round(c::numeric, 3), n % 100000,
    'S' || (1 + camera_number % 3), 'edge-1', NULL,
    CASE WHEN d < 0.5 THEN 'approaching' ELSE 'receding' END,
    at + (40 + (400 * d * d * d)::bigint) * interval '1 ms',
    CASE WHEN e < 0.01 THEN 'retracted' ELSE 'ended' END, n, camera_number % 4,
    at, at + (e * e * e * 120) * interval '1 second', NULL, 'gate', '1', 10.77, 106.7,
    'Asia/Ho_Chi_Minh', 1 + (d * 8)::bigint, 1, 1, NULL,
    CASE WHEN e < 0.01 THEN 'unrepeated' ELSE 'window' END, 'bench',
    CASE WHEN c < 0.06 THEN jsonb_build_array(left(plate, 6) || '8') ELSE '[]' END, '[]',
    '{{{{"x": 604, "y": 388, "width": 142, "height": 41}}}}',
    '{{{{"positions": [], "reads": []}}}}'
FROM (
    SELECT n, camera_number, 'CAM-' || to_char(camera_number + 1, 'FM000') AS camera, plate_number,
        -- a code of eight signs, every number another
        translate(to_char(29 + plate_number % 64, 'FM00') || chr(65 + plate_number / 64 % 24)
            || to_char((plate_number::bigint * 7919) % 100000, 'FM00000'), 'IOQ', 'XYZ') AS plate,
        timestamptz '{last}' - interval '{days} days' * ((n + a) / {total}) AS at, c, d, e
    FROM (
        SELECT n, floor({camera} * {cameras})::integer AS camera_number,
            -- rank by a power of chance: the first tenth of the plates has a third of all
            floor({plates} * power({plate}, 2))::integer AS plate_number,
            {a} AS a, {c} AS c, {d} AS d, {e} AS e
        FROM generate_series({{start}}::bigint, {{end}}::bigint) AS n
    ) AS chosen
) AS made
"""


def fill(url: str, sightings: int, *, cameras: int = CAMERAS, days: int = DAYS) -> None:
    """Make the view in an empty database and so many sightings, evenly over the days.

    As many different plates as a quarter of the sightings could be. Counts of the view
    (``/stats``) are made, too; changes are not told: followers begin with the whole view.
    """
    from projections.counts import recount

    migrate(url)
    seeds = {
        name: _CHANCE.format(n="n", seed=seed)
        for seed, name in enumerate(("camera", "plate", "a", "c", "d", "e"), start=1)
    }
    statement = _INSERT.format(
        **seeds, last=LAST, days=days, total=sightings, cameras=cameras, plates=sightings // 4
    )
    with closing(connect(url, LIVE)) as connection:
        for start in range(0, sightings, _CHUNK):
            with connection, connection.cursor() as cursor:
                end = min(start + _CHUNK, sightings) - 1
                cursor.execute(statement.format(start=start, end=end))
        with connection, connection.cursor() as cursor:
            recount(cursor, LIVE)
        connection.autocommit = True
        connection.cursor().execute("VACUUM ANALYZE plate_events")
        connection.cursor().execute("VACUUM ANALYZE sighting_counts")
