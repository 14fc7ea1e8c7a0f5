"""One picture file to an array, its header checked before a pixel is decoded; and an array to a picture."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from mlops.datasets.limits import Limits
from mlops.datasets.problems import DatasetProblem

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM")
_GREY_MODES = ("1", "L", "LA")
_COLOUR_MODES = ("P", "RGB", "RGBA", "CMYK", "YCbCr")
# What Pillow's decoders are known to raise on damaged files.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


def decode_picture(content: bytes, *, limits: Limits, name: str = "the picture") -> np.ndarray:
    """uint8 (height, width) for grey pictures, (height, width, 3) for coloured ones.

    Raises DatasetProblem `image_invalid` or `image_too_large`.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(image.size, limits, name)
            if image.mode not in _GREY_MODES + _COLOUR_MODES:
                raise DatasetProblem("image_invalid", f"{name}: {image.mode} pictures are not read; use 8-bit ones")
            return np.asarray(image.convert("L" if image.mode in _GREY_MODES else "RGB"), dtype=np.uint8).copy()
    except Image.DecompressionBombError:
        raise DatasetProblem("image_too_large", f"{name} has far more pixels than allowed") from None
    except _DAMAGE as damage:
        raise DatasetProblem("image_invalid", f"{name} cannot be read: {str(damage)[:120]}") from None


def encode_picture(pixels: np.ndarray, *, side: int | None = None) -> bytes:
    """uint8 (height, width[, 3]) as PNG, enlarged without smoothing to `side` pixels if given."""
    image = Image.fromarray(pixels)
    if side is not None:
        image = image.resize((side, side), Image.Resampling.NEAREST)
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=False)
    return out.getvalue()


def _check_size(size: tuple[int, int], limits: Limits, name: str) -> None:
    width, height = size
    if width * height > limits.image_pixels or max(size) > limits.image_side:
        raise DatasetProblem("image_too_large", f"{name} is {width} × {height}; {limits.image_pixels:,} pixels at most")
    if min(size) < 1:
        raise DatasetProblem("image_invalid", f"{name} has no pixels")
