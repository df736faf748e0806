"""`alpr edge` with a bucket: the pictures of a drive-by arrive at the addresses of its reads."""

import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import cv2
import pytest
from PIL import Image
from prometheus_client import CollectorRegistry, generate_latest

from alpr.settings import load
from alpr.wiring import open_edge_codec, open_edge_log, open_images, open_uploads
from edge.metrics import UploadMetrics
from images.s3 import Bucket
from images.upload import UploadCounts
from schemas.topics import RAW
from tests.edge.conftest import drive_by
from tests.images.conftest import names_in

ROOT = Path(__file__).parents[2]


def video(path: Path) -> Path:
    pictures = drive_by("34A-231.26", 40)
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (width, height))
    for picture in pictures:
        writer.write(picture)
    writer.release()
    return path


@pytest.fixture
def environ(bucket: Bucket, tmp_path: Path) -> dict[str, str]:
    found = bucket.address
    cameras = tmp_path / "cameras.yaml"
    source = video(tmp_path / "film.mp4")
    cameras.write_text(f"cameras:\n  - id: CAM-1\n    source: {source}\n")
    scheme = "s3+https" if found.secure else "s3+http"
    return {
        "ALPR_HOME": str(tmp_path / "home"),
        "ALPR_CAMERAS": str(cameras),
        "ALPR_IMAGES_URL": f"{scheme}://{found.key}:{found.secret}@{found.endpoint}/{found.bucket}",
    }


def test_a_drive_bys_pictures_are_in_the_bucket_when_the_edge_has_ended(
    environ: dict[str, str], bucket: Bucket
):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALPR_")}
    done = subprocess.run(
        [sys.executable, "-m", "alpr", "edge"],
        cwd=ROOT,
        env=clean | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert bucket.address.secret not in done.stdout + done.stderr
    settings = load(environ, dotenv=None)
    log, codec = open_edge_log(settings), open_edge_codec(settings)
    entries = [
        entry
        for partition in range(log.partitions(RAW.name))
        for entry in log.read(RAW.name, partition, log.lowest(RAW.name, partition), 10_000)
    ]
    reads = [
        record
        for name, record in (codec.decode(entry.value) for entry in entries)
        if name == "PlateRead"
    ]
    assert reads
    urls = [url for read in reads for url in read["images"].values()]
    assert sorted(url.removeprefix("images/") for url in urls) == names_in(bucket)
    first = reads[0]
    name = first["images"]["plate_url"].removeprefix("images/")
    assert bucket._client.get_object_tags(bucket.address.bucket, name) == {
        "camera_id": "CAM-1",
        "track_id": first["track_id"],
        "plate_text": first["text"].replace("\n", "_"),
        "quality_score": f"{first['quality']:.2f}",
    }
    # What the API is given, on a machine that never saw the pictures.
    elsewhere = open_images(settings.changed(home=Path(environ["ALPR_HOME"] + "-of-the-api")))
    for url in urls:
        with Image.open(BytesIO(elsewhere.get(url))) as picture:
            assert picture.format == "JPEG"


def test_metrics_tell_what_was_sent_what_failed_and_what_waits():
    registry = CollectorRegistry()
    registry.register(UploadMetrics(lambda: UploadCounts(uploaded=7, failed=2, waiting=3)))
    told = generate_latest(registry).decode()
    assert "alpr_pictures_uploaded_total 7.0" in told
    assert "alpr_picture_uploads_failed_total 2.0" in told
    assert "alpr_pictures_waiting 3.0" in told


def test_pictures_in_a_folder_are_sent_nowhere(tmp_path: Path):
    assert open_uploads(load({"ALPR_HOME": str(tmp_path)}, dotenv=None)) is None
