"""The stored form of a data set: an uncompressed zip of .npy arrays and a JSON header, byte for byte repeatable.

NumPy's own savez stamps the time of day, so equal data would get unequal hashes; and nothing here is ever unpickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

_EPOCH = (1980, 1, 1, 0, 0, 0)
_HEADER = "dataset.json"
_DTYPES = {"uint8", "float32", "int64", "bool"}
_HEADER_BYTES = 4 * 1024 * 1024
# What stands in front of a member of a zip, before its name.
_ENTRY_BYTES = 30


class CanonicalInvalid(Exception):
    """Stored bytes that `pack` did not write, or that were damaged since."""


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal: the name of the content."""
    return hashlib.sha256(content).hexdigest()


def pack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Header and arrays as bytes that depend on nothing but them. Arrays must be uint8, float32, int64 or bool."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        archive.writestr(_entry(_HEADER), text.encode("ascii"))
        for name in sorted(arrays):
            array = arrays[name]
            if array.dtype.name not in _DTYPES:
                raise ValueError(f"{name} has type {array.dtype}, which is not stored")
            body = io.BytesIO()
            plain = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
            np.lib.format.write_array(body, plain, version=(1, 0), allow_pickle=False)
            archive.writestr(_entry(f"{name}.npy"), body.getbuffer())
    return out.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=_EPOCH)
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    return entry


def unpack(content: bytes | io.BufferedIOBase) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of `pack`ed bytes or of an open, seekable file of them. Raises CanonicalInvalid."""
    source = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        with zipfile.ZipFile(source) as archive:
            return _read_header(archive), _read_arrays(archive)
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, NotImplementedError, OSError) as broken:
        raise CanonicalInvalid(f"not a stored data set: {broken}") from broken


def read_row(file: BinaryIO, name: str, row: int) -> np.ndarray:
    """One row of an array of an open, seekable file of `pack`ed bytes; the others are not read.

    Raises IndexError beyond the array, CanonicalInvalid for anything but what `pack` wrote.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entry = archive.getinfo(f"{name}.npy")
            with archive.open(entry) as member:
                np.lib.format.read_magic(member)
                shape, _, dtype = np.lib.format.read_array_header_1_0(member)
                head_bytes = member.tell()
        if entry.compress_type != zipfile.ZIP_STORED or dtype.name not in _DTYPES:
            raise CanonicalInvalid(f"{entry.filename} is not as it was stored")
        if not 0 <= row < shape[0]:
            raise IndexError(row)
        file.seek(entry.header_offset)
        name_bytes, extra_bytes = struct.unpack("<26xHH", file.read(_ENTRY_BYTES))
        row_bytes = math.prod(shape[1:]) * dtype.itemsize
        file.seek(name_bytes + extra_bytes + head_bytes + row * row_bytes, os.SEEK_CUR)
        return np.frombuffer(file.read(row_bytes), dtype).reshape(shape[1:])
    except (zipfile.BadZipFile, struct.error, KeyError, ValueError, EOFError, NotImplementedError, OSError) as broken:
        raise CanonicalInvalid(f"not a stored data set: {broken}") from broken


def _read_header(archive: zipfile.ZipFile) -> dict[str, Any]:
    with archive.open(_HEADER) as member:
        text = member.read(_HEADER_BYTES + 1)
    if len(text) > _HEADER_BYTES:
        raise CanonicalInvalid("the header is too long")
    header = json.loads(text)
    if not isinstance(header, dict) or header.get("schema") != 1:
        raise CanonicalInvalid("the header is of an unknown schema")
    return header


def _read_arrays(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    arrays = {}
    for entry in archive.infolist():
        if not entry.filename.endswith(".npy"):
            continue
        if entry.compress_type != zipfile.ZIP_STORED:
            raise CanonicalInvalid(f"{entry.filename} is compressed")
        with archive.open(entry) as member:
            array = np.lib.format.read_array(member, allow_pickle=False)
        if array.dtype.name not in _DTYPES:
            raise CanonicalInvalid(f"{entry.filename} has type {array.dtype}")
        arrays[entry.filename.removesuffix(".npy")] = array
    return arrays
