"""Which detector and which recogniser the edge works with, as the settings say."""

from pathlib import Path
from typing import TYPE_CHECKING

from alpr.errors import ConfigError

if TYPE_CHECKING:
    from edge.detect import PlateDetector
    from edge.recognise import PlateRecogniser


def open_detector(chosen: str, threads: int = 2) -> "PlateDetector":
    """What finds plates in a picture; ``chosen`` is the setting `detector`. Raises ConfigError."""
    from edge.careful import CarefulDetector
    from edge.corners import CornerDetector
    from edge.detect import TextPlateDetector
    from edge.models import ModelError

    if chosen == "text":
        return TextPlateDetector(threads)
    try:
        quick = CornerDetector(threads, None if chosen == "corners" else Path(chosen))
    except ModelError as error:
        raise ConfigError(str(error)) from error
    return CarefulDetector(quick, threads)


def open_recogniser(chosen: str, threads: int = 2) -> "PlateRecogniser":
    """What reads a plate; ``chosen`` is the setting `recogniser`. Raises ConfigError."""
    from edge.models import ModelError
    from edge.reader import PlateReader
    from edge.recognise import TextRecogniser
    from edge.voting import VotingRecogniser

    if chosen == "text":
        return TextRecogniser(threads)
    try:
        own = PlateReader(threads, None if chosen in ("voting", "plates") else Path(chosen))
    except ModelError as error:
        raise ConfigError(str(error)) from error
    return own if chosen == "plates" else VotingRecogniser(own, TextRecogniser(threads))
