"""Weights in and out as safetensors, checked before a tensor is made of them: a model file never runs code (torch)."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mlops.recipes import DataShape, RecipeProblem, load_recipe
from mlops.runtime.spec import fsync_folder

MAX_FILE_BYTES = 32 * 1024**3
_MAX_HEADER_BYTES = 16 * 1024**2
_MAX_TENSORS = 100_000
_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_KEY = "millrace"


class WeightsInvalid(Exception):
    """Not a safetensors file, or not of the net it is meant for. Code `weights_invalid`."""

    code = "weights_invalid"


@dataclass(frozen=True)
class WeightsInfo:
    """What a weights file says about itself; enough to build the net that it fits."""

    recipe: str
    recipe_version: int
    params: dict[str, Any]
    shape: DataShape
    dataset_hash: str
    code_version: str


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
    """A safetensors file with JSON `notes`; whole or not there at all."""
    temporary = path.with_name(path.name + ".part")
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    save_file(plain, temporary, metadata={_KEY: json.dumps(notes, sort_keys=True)})
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    fsync_folder(path.parent)


def read_tensors(path: Path, *, max_bytes: int = MAX_FILE_BYTES) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and notes of a file. Raises WeightsInvalid for anything but a sound safetensors file of ours."""
    notes = check_header(path, max_bytes=max_bytes)
    try:
        return load_file(path), notes
    except (SafetensorError, OSError, RuntimeError, ValueError) as broken:
        raise WeightsInvalid(f"the tensors cannot be read: {broken}") from broken


def check_header(path: Path, *, max_bytes: int = MAX_FILE_BYTES) -> dict[str, Any]:
    """The notes of a file whose header is sound: sizes, types, and ranges that cover the file exactly once."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if size > max_bytes or not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
                raise WeightsInvalid("not a safetensors file, or one of another size than it says")
            header = json.loads(file.read(length))
    except OSError as missing:
        raise WeightsInvalid(f"the file cannot be read: {missing.strerror}") from missing
    except (ValueError, RecursionError) as wrong:
        raise WeightsInvalid("the header is not JSON: this is no safetensors file") from wrong
    if not isinstance(header, dict):
        raise WeightsInvalid("the header is no JSON object")
    notes = _notes(header.pop("__metadata__", None))
    _check_entries(header, size - 8 - length)
    return notes


def _notes(metadata: object) -> dict[str, Any]:
    text = metadata.get(_KEY) if isinstance(metadata, dict) else None
    try:
        notes = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        notes = None
    if not isinstance(notes, dict):
        raise WeightsInvalid("the file does not say which recipe it belongs to")
    return notes


def _check_entries(header: dict[str, Any], body_bytes: int) -> None:
    if not 0 < len(header) <= _MAX_TENSORS:
        raise WeightsInvalid(f"{len(header)} tensors")
    ranges = sorted(_checked_range(name, entry) for name, entry in header.items())
    place = 0
    for begin, end in ranges:
        if begin != place:
            raise WeightsInvalid("the tensors overlap or leave gaps")
        place = end
    if place != body_bytes:
        raise WeightsInvalid("the tensors do not fill the file")


def _checked_range(name: str, entry: object) -> tuple[int, int]:
    """(begin, end) of one tensor, its size agreeing with its type and shape."""
    if not isinstance(entry, dict) or entry.get("dtype") not in _WIDTHS:
        raise WeightsInvalid(f"{name[:80]}: a tensor of a type that is not taken")
    shape = _whole_numbers(name, entry.get("shape"))
    offsets = _whole_numbers(name, entry.get("data_offsets"))
    if len(offsets) != 2 or len(shape) > 8:
        raise WeightsInvalid(f"{name[:80]}: a place is two numbers and a shape eight at most")
    count = 1
    for side in shape:
        count *= side
    if offsets[1] - offsets[0] != count * _WIDTHS[entry["dtype"]]:
        raise WeightsInvalid(f"{name[:80]}: its place does not hold its shape")
    return offsets[0], offsets[1]


def _whole_numbers(name: str, value: object) -> list[int]:
    if not isinstance(value, list) or any(type(item) is not int or item < 0 for item in value):
        raise WeightsInvalid(f"{name[:80]}: shape or place is no list of whole numbers")
    return value


# -- the weights of a model ------------------------------------------------------------------------------------------


def save_weights(path: Path, tensors: Mapping[str, Tensor], info: WeightsInfo) -> str:
    """Write a model's weights; returns the SHA-256 of the file, in hexadecimal."""
    notes = dict(info.__dict__) | {"shape": info.shape.as_json(), "format": 1}
    write_tensors(path, tensors, notes)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_info(path: Path) -> WeightsInfo:
    """What the file says about itself, its tensors unread. Raises WeightsInvalid."""
    return _info(check_header(path))


def _info(notes: Mapping[str, Any]) -> WeightsInfo:
    try:
        if notes["format"] != 1:
            raise WeightsInvalid(f"format {notes['format']!r} is not read")
        return WeightsInfo(
            recipe=str(notes["recipe"]),
            recipe_version=int(notes["recipe_version"]),
            params=dict(notes["params"]),
            shape=DataShape.from_json(notes["shape"]),
            dataset_hash=str(notes["dataset_hash"]),
            code_version=str(notes["code_version"]),
        )
    except (KeyError, TypeError, ValueError) as wrong:
        raise WeightsInvalid(f"the file's notes are incomplete: {wrong}") from wrong


def load_model(path: Path, device: str = "cpu") -> tuple[nn.Module, WeightsInfo]:
    """The net of a weights file, in evaluation mode on `device`. Raises WeightsInvalid."""
    tensors, notes = read_tensors(path)
    info = _info(notes)
    try:
        recipe = load_recipe(info.recipe)
        recipe.check_params(info.params)
        recipe.check_data(info.shape)
    except RecipeProblem as refused:
        raise WeightsInvalid(refused.detail) from refused
    module = recipe.modelling().build_module(info.params, info.shape)
    fit_weights(module, tensors)
    return module.to(device).eval(), info


def fit_weights(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors into a net that has exactly these names, shapes and types, all finite. Raises WeightsInvalid."""
    wanted = module.state_dict()
    if wanted.keys() != tensors.keys():
        odd = sorted(wanted.keys() ^ tensors.keys())[:5]
        raise WeightsInvalid(f"the tensors are not those of the net: {', '.join(odd)}")
    for name, value in tensors.items():
        if value.shape != wanted[name].shape or value.dtype != wanted[name].dtype:
            raise WeightsInvalid(
                f"{name} is {value.dtype} {tuple(value.shape)}; the net's is "
                f"{wanted[name].dtype} {tuple(wanted[name].shape)}"
            )
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise WeightsInvalid(f"{name} has values that are not finite")
    module.load_state_dict(dict(tensors))
