"""Every plate of the index has its pseudonym, under the key of now."""

from contextlib import closing

import psycopg2
import pytest

from projections.naming import Naming
from projections.plate_index import PlateIndex
from projections.queries import SightingQueries
from projections.schema import migrate_beside
from projections.view import SightingsView
from rules.pseudonym import Pseudonyms
from tests.projections.sightings import LOG, sighting

NAMES = Pseudonyms(b"k" * 32)


@pytest.fixture(scope="module")
def viewed(postgres_url: str) -> str:
    """A database with three sightings, whose plates are in the index."""
    view = SightingsView(postgres_url, LOG)
    view.apply(0, 0, [sighting(n) for n in range(3)], 3)
    view.close()
    migrate_beside(postgres_url)
    with closing(PlateIndex(postgres_url)) as index:
        while index.step():
            pass
    return postgres_url


@pytest.fixture
def indexed(viewed: str) -> str:
    """The same, and no plate has a pseudonym yet."""
    with psycopg2.connect(viewed) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE alpr_derived.plates SET pseudonym = NULL")
    return viewed


def named(url: str) -> dict[str, str]:
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT text, pseudonym FROM alpr_derived.plates")
        return dict(cursor.fetchall())


def test_each_plate_gets_its_pseudonym_once(indexed: str):
    with closing(Naming(indexed, NAMES)) as naming:
        assert naming.step()
        assert not naming.step()
    found = named(indexed)
    assert found
    assert all(name == NAMES.of(text) for text, name in found.items())


def test_with_another_key_all_are_named_anew(indexed: str):
    with closing(Naming(indexed, Pseudonyms(b"l" * 32))) as naming:
        naming.step()
    with closing(Naming(indexed, NAMES)) as naming:
        while naming.step():
            pass
    assert all(name == NAMES.of(text) for text, name in named(indexed).items())


def test_a_sighting_is_found_by_the_pseudonym_of_its_plate(indexed: str):
    with closing(Naming(indexed, NAMES)) as naming:
        while naming.step():
            pass
    with closing(SightingQueries(indexed)) as queries:
        plate = queries.recent(1)[0]["plate_normalized_text"]
        found = queries.by_plate(NAMES.of(plate))
    assert {row["plate_normalized_text"] for row in found} == {plate}
