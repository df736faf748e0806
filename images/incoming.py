"""Pictures from outside: looked at before they are decoded, and never kept as they came."""

from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from images.store import ImageError

MOST_BYTES = 2 * 1024 * 1024
MOST_PIXELS = 25_000_000  # a 6K frame; a small file may claim far more
_FORMATS = ("JPEG", "PNG", "WEBP")
_QUALITY = 80  # of the JPEG, of 100, as at the edge


@dataclass(slots=True)
class Budget:
    """Pixels that may yet be decoded for one request: some seconds of a processor."""

    pixels: int = 250_000_000

    def spend(self, pixels: int) -> None:
        """Raises BadPicture where they are more than are left."""
        if pixels > self.pixels:
            raise BadPicture("is one too many large pictures in a request: send fewer at once")
        self.pixels -= pixels


class BadPicture(ImageError):
    """This is no picture that is taken; the message says why."""


def as_jpeg(content: bytes, budget: Budget) -> bytes:
    """A picture's pixels as a JPEG of our own, without what else the file held. Raises BadPicture.

    Formats are JPEG, PNG and WebP; its size is read from its header before anything is decoded.
    """
    if len(content) > MOST_BYTES:
        raise BadPicture(f"is larger than {MOST_BYTES:,} bytes: send it smaller")
    try:
        with Image.open(BytesIO(content), formats=_FORMATS) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise _too_large()
            budget.spend(width * height)
            out = BytesIO()
            picture.convert("RGB").save(out, "JPEG", quality=_QUALITY)
    except BadPicture:
        raise
    except Image.DecompressionBombError:  # Pillow's own bound, looked at as the file is opened
        raise _too_large() from None
    except Exception:  # what a decoder stumbles over in a hostile file has no common base
        raise BadPicture("is no JPEG, PNG or WebP that can be read") from None
    return out.getvalue()


def _too_large() -> BadPicture:
    return BadPicture(f"has more than {MOST_PIXELS:,} pixels: send it smaller")
