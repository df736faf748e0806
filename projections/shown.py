"""Sightings as people are shown them: what was read, and beside it what a person said it was.

A correction changes no row of the sightings' view; it is joined whenever sightings are read. The
pieces of SQL here are the only place that says how. The join goes to a table of another schema by
its full name: that schema is not swapped when the sightings' view is rebuilt.
"""

PEOPLE = "alpr_people"
"""The schema of what people said and did."""

FROM = f"plate_events AS event LEFT JOIN {PEOPLE}.corrected AS said USING (event_id)"
"""Sightings with their standing corrections."""

TEXT = "coalesce(said.text, event.plate_normalized_text)"
"""The plate that it is, as far as is known."""

STANDING = "event.status <> 'retracted' AND said.hidden IS NOT TRUE"
"""Counted as a sighting: neither taken back by the rules nor hidden by a person."""


def of_plates(values: str = "%s") -> str:
    """A condition that holds for sightings whose TEXT is among an array of plates, given twice.

    Both sides are found by an index, where a condition on TEXT itself would read every row. The
    array is what makes the second one so: with IN (SELECT …) the server reads them all.
    """
    return (
        f"((event.plate_normalized_text = ANY({values}) AND said.text IS NULL) OR event.event_id "
        f"= ANY(ARRAY(SELECT event_id FROM {PEOPLE}.corrected WHERE text = ANY({values}))))"
    )
