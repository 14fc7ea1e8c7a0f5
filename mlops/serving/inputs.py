"""What a caller sends for a prediction, to the array a model takes. No torch, so that the door can check."""

from __future__ import annotations

import base64
import binascii
import contextlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlops.datasets.json_rows import RowInvalid, flatten, numbers
from mlops.datasets.limits import DEFAULT_LIMITS, Limits
from mlops.datasets.pictures import decode_picture
from mlops.datasets.problems import DatasetProblem
from mlops.recipes import DataShape

_MAX_ENCODED = 8 * 1024 * 1024
# Of one request: pictures come packed, and what waits is held unpacked.
_MOST_VALUES = 16 * 1024 * 1024
_LUMA = (0.299, 0.587, 0.114)


class InputInvalid(Exception):
    """One input cannot be predicted on. `index` is its place in the request; `code` is stable.

    Codes: `input_shape`, `input_value`, `input_image`, `inputs_count`.
    """

    def __init__(self, code: str, detail: str, index: int | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.index = index


def decode_inputs(inputs: object, shape: DataShape, *, most: int = 256, limits: Limits = DEFAULT_LIMITS) -> np.ndarray:
    """A request's inputs as (n, *input_shape): uint8 for images, float32 for features.

    Each is nested lists of the model's shape, the same values in one flat list, or `{"png": "<base64>"}` (or a plain
    base64 text) for images. Raises InputInvalid for the first that is none of these.
    """
    most = min(most, max(1, _MOST_VALUES // math.prod(shape.input_shape)))
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= most:
        raise InputInvalid("inputs_count", f"inputs is a list of 1 to {most} inputs of this model's size")
    return np.stack([_decode_one(value, shape, index, limits) for index, value in enumerate(inputs)])


def _decode_one(value: object, shape: DataShape, index: int, limits: Limits) -> np.ndarray:
    if isinstance(value, dict):
        value = value.get("png")
    if isinstance(value, str) and shape.layout == "images":
        return _decode_image(value, shape, index, limits)
    try:
        flat, found = flatten(value, limits.json_depth)
        if shape.layout == "images" and found in _spellings(shape) and set(map(type, flat)) == {int}:
            with contextlib.suppress(ValueError):  # out of range: the way below says where
                return np.frombuffer(bytes(flat), dtype=np.uint8).reshape(shape.input_shape)
        if found not in _spellings(shape):
            detail = f"shaped {found}; the model takes {shape.input_shape}, nested or flat"
            raise InputInvalid("input_shape", detail, index)
        array = numbers(flat).reshape(shape.input_shape)
    except RowInvalid as wrong:
        code = "input_shape" if wrong.code in ("width_wrong", "json_too_deep") else "input_value"
        raise InputInvalid(code, wrong.message, index) from None
    if shape.layout == "features":
        if np.abs(array).max() > np.finfo(np.float32).max:
            raise InputInvalid("input_value", "a value is too large", index)
        return array.astype(np.float32)
    if ((array < 0) | (array > 255) | (array != np.floor(array))).any():
        raise InputInvalid("input_value", "pixels are whole numbers from 0 to 255", index)
    return array.astype(np.uint8)


def _spellings(shape: DataShape) -> tuple[tuple[int, ...], ...]:
    """Nested as the model takes it, or flat."""
    return shape.input_shape, (math.prod(shape.input_shape),)


def _decode_image(text: str, shape: DataShape, index: int, limits: Limits) -> np.ndarray:
    if len(text) > _MAX_ENCODED:
        raise InputInvalid("input_image", "the picture is too large", index)
    try:
        content = base64.b64decode(text.partition("base64,")[2] or text, validate=True)
        picture = decode_picture(content, limits=limits)
    except (binascii.Error, ValueError):
        raise InputInvalid("input_image", "the picture is not base64", index) from None
    except DatasetProblem as wrong:
        raise InputInvalid("input_image", wrong.detail, index) from None
    picture = _match_colour(picture, wants_colour=len(shape.input_shape) == 3)
    if picture.shape != shape.input_shape:
        raise InputInvalid("input_shape", f"the picture is {picture.shape}; the model takes {shape.input_shape}", index)
    return picture


def _match_colour(picture: np.ndarray, *, wants_colour: bool) -> np.ndarray:
    """Grey for a grey model (ITU-R 601 luma), three equal planes for a coloured one."""
    if wants_colour and picture.ndim == 2:
        return np.repeat(picture[:, :, None], 3, axis=2)
    if not wants_colour and picture.ndim == 3:
        return np.round(picture @ np.array(_LUMA)).astype(np.uint8)
    return picture


def describe_outputs(probabilities: np.ndarray, class_names: Sequence[str], *, top: int = 3) -> list[dict[str, Any]]:
    """(n, classes) probabilities as the API's answers: the label, its confidence, and the likeliest few."""
    answers = []
    for chances in probabilities:
        best = np.argsort(-chances, kind="stable")[:top]
        ranked = [{"label": class_names[place], "probability": round(float(chances[place]), 6)} for place in best]
        answers.append({"label": ranked[0]["label"], "confidence": ranked[0]["probability"], "top": ranked})
    return answers
