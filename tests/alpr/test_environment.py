"""Settings come from the environment, strictly, and passwords stay inside."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpr.errors import ConfigError
from alpr.settings import Settings, load, names
from eventlog.address import masked
from rules.settings import DedupSettings

ROOT = Path(__file__).parents[2]


def of(**environ: str) -> Settings:
    return load(environ, None)


def test_nothing_need_be_set():
    settings = of()
    assert settings.home == Path.cwd() / ".alpr"
    assert settings.log_folder == settings.home / "log"
    assert settings.images_folder == settings.home / "images"
    assert settings.database_url == "embedded"
    assert settings.own_partitions == (0, 1, 2, 3)
    assert settings.dedup == DedupSettings()


def test_all_embedded_state_moves_with_the_home_folder():
    settings = of(ALPR_HOME="/tmp/a b%20c")
    assert settings.log_folder == Path("/tmp/a b%20c/log")
    moved = settings.changed(home=Path("/tmp/other"))
    assert moved.log_folder == Path("/tmp/other/log")
    assert moved.images_folder == Path("/tmp/other/images")


def test_on_kafka_the_edge_has_a_log_of_its_own_and_partitions_are_more():
    settings = of(ALPR_LOG_URL="kafka://b:9092", ALPR_REGISTRY_URL="http://r:8081")
    assert settings.log_partitions == 32
    assert settings.edge_log_folder == settings.home / "edge-log"
    assert settings.changed(home=Path("/tmp/x")).edge_log_folder == Path("/tmp/x/edge-log")
    assert of().edge_log_folder == of().log_folder


def test_the_names_of_kafka_and_its_registry_are_taken():
    settings = of(KAFKA_BOOTSTRAP_SERVERS="a:1, b:2", SCHEMA_REGISTRY_URL="http://r:8081")
    assert (settings.log_url, settings.registry_url) == ("kafka://a:1,b:2", "http://r:8081")


@pytest.mark.parametrize(
    ("environ", "asked"),
    [
        ({}, False),
        ({"ALPR_API_AUTH": "required"}, True),
        ({"ALPR_API_HOST": "0.0.0.0"}, True),
        ({"ALPR_API_HOST": "::1"}, False),
        ({"ALPR_API_HOST": "alpr.example.org"}, True),
    ],
)
def test_keys_are_asked_for_beyond_loopback_or_where_told(environ: dict[str, str], asked: bool):
    assert of(**environ).authenticated is asked


def test_a_log_named_by_url_stays_where_it_is():
    settings = of(ALPR_LOG_URL="sqlite:////data/log").changed(home=Path("/tmp/other"))
    assert settings.log_folder == Path("/data/log")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("all", (0, 1, 2, 3)), ("0-2", (0, 1, 2)), ("3,1", (1, 3)), ("0-1, 3", (0, 1, 3))],
)
def test_partitions_are_ranges_and_numbers(text: str, numbers: tuple[int, ...]):
    assert of(ALPR_PARTITIONS=text).own_partitions == numbers


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ALPR_PARTITIONS", "0-7", "ALPR_PARTITIONS names partition 4, and the log has 4"),
        ("ALPR_PARTITIONS", "3-1", "runs backwards"),
        ("ALPR_PARTITIONS", "x", "use all, a range such as 0-7"),
        ("ALPR_LOG_PARTITIONS", "0", "greater than or equal to 1"),
        ("ALPR_LOG_URL", "kafka://b:9092", "ALPR_REGISTRY_URL is not set"),
        ("ALPR_EDGE_LOG", "kafka://b:9092", "the edge writes to a folder of its own first"),
        ("ALPR_SEARCH_URL", "localhost:9200", "use http://HOST:PORT"),
        ("ALPR_DETECTOR", "yolo", "use corners, text, or the .onnx"),
        ("ALPR_RECOGNISER", "ours", "use voting, plates, text, or the .onnx"),
        ("ALPR_LOG_URL", "/data/log", "use sqlite:///FOLDER"),
        ("ALPR_IMAGES_URL", "s3://bucket", "use s3+https://KEY:SECRET"),
        ("ALPR_IMAGES_URL", "bucket", "use file:///FOLDER"),
        ("ALPR_LOG_URL", "kafka://:9092x", "kafka://"),
        ("ALPR_DATABASE_URL", "mysql://a@b/c", "use embedded, or postgresql://"),
        ("ALPR_API_AUTH", "none", "Input should be 'auto' or 'required'"),
        ("ALPR_API_PROXIES", "10.0.0.1,*", "* is no address: give IP addresses or networks"),
        ("ALPR_METRICS_PORT", "70000", "less than or equal to 65535"),
        ("ALPR_API_PORT", "http", "ALPR_API_PORT=http cannot be used"),
        ("ALPR_DEDUP_WINDOW_S", "soon", "ALPR_DEDUP_WINDOW_S=soon cannot be used"),
        ("ALPR_DEDUP_WINDOW_S", "0", "dedup setting window_s is 0.0"),
        ("KAFKA_BOOTSTRAP_SERVERS", "b:9092", "ALPR_REGISTRY_URL is not set"),
        ("KAFKA_TOPIC", "plates", "sightings are always on alpr.plates.detected"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_cure(name: str, value: str, told: str):
    with pytest.raises(ConfigError, match=re.escape(told)) as caught:
        of(**{name: value})
    assert caught.value.exit_code == 2


def test_a_plate_is_read_by_its_corners_only_where_they_are_told():
    with pytest.raises(ConfigError, match="use the detector corners, or the recogniser text"):
        of(ALPR_DETECTOR="text", ALPR_RECOGNISER="plates")
    assert of(ALPR_DETECTOR="text", ALPR_RECOGNISER="voting").recogniser == "voting"


def test_an_unknown_name_is_an_error_that_knows_the_closest():
    with pytest.raises(ConfigError, match=r"no setting ALPR_DEDUP_WINDOW; .*ALPR_DEDUP_WINDOW_S"):
        of(ALPR_DEDUP_WINDOW="5")


def test_names_of_others_and_of_the_tests_are_left_alone():
    assert of(PATH="/bin", ALPR_TEST_DATABASE_URL="x", KAFKA_GROUP_ID="g") == of()


def test_an_empty_value_counts_as_not_set():
    assert of(ALPR_API_PORT="", ALPR_LOG_URL=" ") == of()


def test_the_environment_wins_over_the_file(tmp_path: Path):
    file = tmp_path / ".env"
    file.write_text("ALPR_API_PORT=8100\nexport ALPR_PARTITIONS='0,1' # ours\n")
    settings = load({"ALPR_API_PORT": "8200"}, file)
    assert (settings.api_port, settings.partitions) == (8200, (0, 1))


def test_a_file_that_is_no_text_is_named(tmp_path: Path):
    file = tmp_path / ".env"
    file.write_bytes(b"ALPR_HOME=\xff\xfe")
    with pytest.raises(ConfigError, match="\\.env cannot be read"):
        load({}, file)


def test_the_parts_of_a_database_make_its_url():
    settings = of(DB_HOST="db", DB_PASSWORD="a@b/c:d")
    assert settings.database_url == "postgresql://alpr:a%40b%2Fc%3Ad@db:5432/alpr_db"


def test_a_settings_own_name_wins_over_an_alias():
    assert of(DB_HOST="db", ALPR_DATABASE_URL="embedded").database_url == "embedded"


def test_no_password_is_ever_shown():
    settings = of(ALPR_DATABASE_URL="postgresql://u:s3cret@h/d?password=s3cret&sslmode=off")
    shown = f"{settings} {settings!r} {settings.shown()}"
    assert "s3cret" not in shown
    assert "u:***@h/d?password=***&sslmode=off" in shown
    assert "s3cret" in settings.environ()["ALPR_DATABASE_URL"]


def test_a_refused_url_does_not_show_its_password_either():
    with pytest.raises(ConfigError) as caught:
        of(ALPR_DATABASE_URL="mysql://u:s3cret@h/d")
    assert "s3cret" not in str(caught.value)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_masking_hides_any_password(password: str):
    assert masked(f"postgresql://u:{password}@h/d") == "postgresql://u:***@h/d"


@given(
    st.sets(st.integers(0, 31), min_size=1),
    st.floats(1, 86_400),
    st.integers(1, 65535),
    st.sampled_from(["embedded", "postgresql://u:p%40@h:1/d"]),
)
def test_a_child_process_gets_equal_settings(
    partitions: set[int], window: float, port: int, database: str
):
    settings = of(
        ALPR_LOG_PARTITIONS="32",
        ALPR_PARTITIONS=",".join(map(str, partitions)),
        ALPR_DEDUP_WINDOW_S=repr(window),
        ALPR_API_PORT=str(port),
        ALPR_DATABASE_URL=database,
    )
    assert load(settings.environ(), None) == settings


def documented() -> dict[str, str]:
    page = (ROOT / "docs/settings.md").read_text()
    return dict(re.findall(r"^\| `(ALPR_\w+)` \| `?(.*?)`? *\|", page, re.M))


def test_the_page_of_settings_has_each_with_its_default():
    page = documented()
    assert set(page) == set(names())
    assert load(page, None) == of()


def test_the_example_file_has_each_with_its_default(tmp_path: Path):
    text = (ROOT / ".env.example").read_text()
    settings = re.findall(r"^# (ALPR_\w+)=(.*)$", text, re.M)
    assert dict(settings) == documented()
    assert load({}, ROOT / ".env.example") == of()
