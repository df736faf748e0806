"""config/cameras.yaml is read strictly, and says what to do when it is wrong."""

from pathlib import Path

import pytest

from edge.cameras import Camera, ConfigError, load_cameras, without_secrets
from edge.pipeline import load_pipeline_settings

CONFIG = Path(__file__).parents[2] / "config"


def write(folder: Path, text: str) -> Path:
    path = folder / "cameras.yaml"
    path.write_text(text)
    return path


def test_a_camera_carries_what_the_file_says(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "cameras:\n  - {id: CAM-1, source: 'rtsp://u:p@cam/1', group: gate, site: DC1, zone: in,"
        " lane: 3, latitude: 21.03, longitude: 105.85, timezone: Asia/Ho_Chi_Minh,"
        " country: vn, roi: [0, 10, 600, 400], fps: 10, direction: approaching}\n",
    )
    (camera,) = load_cameras(path)
    assert camera.key == "gate"
    assert camera.region == "VN"
    assert camera.roi == (0, 10, 600, 400)
    assert camera.node("edge-1") == {
        "site": "DC1",
        "host": "edge-1",
        "zone": "in",
        "lane": "3",
        "latitude": 21.03,
        "longitude": 105.85,
        "timezone": "Asia/Ho_Chi_Minh",
    }


def test_paths_are_relative_to_the_file_and_numbers_are_usb_cameras(tmp_path: Path) -> None:
    path = write(tmp_path, "cameras:\n  - {id: a, source: clip.mp4}\n  - {id: b, source: 0}\n")
    first, second = load_cameras(path)
    assert first.source == str(tmp_path / "clip.mp4")
    assert second.source == "0"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{id: a, source: x.mp4, colour: red}", "unknown key 'colour'.*Known are .*country"),
        ("{source: x.mp4}", "`id` is missing"),
        ("{id: a}", "`source` is missing"),
        ("{id: 'a b', source: x.mp4}", "'a b' may hold letters"),
        ("{id: a, source: x.mp4, timezone: Mars/Base}", "'Mars/Base' is unknown.*IANA"),
        ("{id: a, source: x.mp4, country: NO}", "quote it"),
        ("{id: a, source: x.mp4, country: Vietnam}", "no ISO 3166 code"),
        ("{id: a, source: x.mp4, latitude: 91}", "from -90 to 90"),
        ("{id: a, source: x.mp4, enabled: 'yes'}", "must be true or false"),
        ("{id: a, source: x.mp4, roi: [5, 5, 5, 9]}", "is empty"),
        ("{id: a, source: x.mp4, direction: up}", "none of approaching"),
        ("{id: a, source: x.mp4}\n  - {id: a, source: y.mp4}", "two cameras have the id 'a'"),
        ("just text", "must hold keys and values"),
    ],
)
def test_what_is_wrong_is_named_with_file_camera_and_cure(
    tmp_path: Path, entry: str, message: str
) -> None:
    path = write(tmp_path, f"cameras:\n  - {entry}\n")
    with pytest.raises(ConfigError, match=message) as caught:
        load_cameras(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["cameras: 3", "kameras: []", "- 1", "a: [", "{}"])
def test_a_file_that_is_no_list_of_cameras_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"cameras\.yaml"):
        load_cameras(write(tmp_path, text))


def test_credentials_are_taken_out_of_messages() -> None:
    camera = Camera("a", "rtsp://admin:s3cret@host:554/1")
    assert camera.label == "a (rtsp://host:554/1)"
    assert without_secrets("x rtsp://a:b@h/1 y http://c@k") == "x rtsp://h/1 y http://k"


def test_the_files_that_come_with_the_project_are_valid_and_hold_the_defaults() -> None:
    assert load_cameras(CONFIG / "cameras.yaml") == ()
    settings = load_pipeline_settings(CONFIG / "tracking.yaml", CONFIG / "ocr.yaml")
    assert settings == type(settings)()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tracking: {track_tresh: 0.5}", "unknown key 'track_tresh'"),
        ("tracking: {track_buffer: many}", "must be a int"),
        ("tracking: {match_thresh: -1}", "cannot be below 0"),
        ("trackings: {}", "unknown key 'trackings'"),
    ],
)
def test_a_wrong_tracking_setting_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tracking.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_pipeline_settings(path, CONFIG / "ocr.yaml")
