"""A zip of pictures, one folder a class, read as if it were hostile."""

from __future__ import annotations

import io
import os
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

import numpy as np

from mlops.datasets.assemble import build_dataset
from mlops.datasets.limits import MIB, Limits
from mlops.datasets.parsed import ParsedDataset
from mlops.datasets.pictures import decode_picture
from mlops.datasets.problems import DatasetProblem

_IGNORED_FILES = {".DS_Store", "Thumbs.db", "desktop.ini"}
_IGNORED_FOLDERS = {"__MACOSX"}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_DAMAGE = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError,
    NotImplementedError, OverflowError, UnicodeDecodeError,
)  # fmt: skip


def parse_image_zip(source: BinaryIO, *, limits: Limits, layout: str = "auto") -> ParsedDataset:
    """Read a zip in which each picture's folder is its class. All pictures have one size and colour. DatasetProblem."""
    if layout == "features":
        raise DatasetProblem("layout_unsuitable", "a zip holds pictures, not features")
    with tempfile.TemporaryFile() as spool:
        size = _spool(source, spool, limits)
        _check_directory_size(spool, size, limits)
        try:
            with zipfile.ZipFile(spool) as archive:
                pictures, labels = _read_pictures(archive, size, limits)
        except _DAMAGE as damage:
            raise DatasetProblem("archive_invalid", f"the archive cannot be read: {str(damage)[:120]}") from None
    return build_dataset("images", pictures, labels, limits=limits)


def _spool(source: BinaryIO, spool: BinaryIO, limits: Limits) -> int:
    """Copy the upload to a nameless file, which zip needs to be seekable; returns its size."""
    size = 0
    while block := source.read(MIB):
        size += len(block)
        if size > limits.upload_bytes:
            raise DatasetProblem("too_large", f"more than {limits.upload_bytes:,} bytes")
        spool.write(block)
    if size == 0:
        raise DatasetProblem("empty", "the file is empty")
    return size


def _check_directory_size(spool: BinaryIO, size: int, limits: Limits) -> None:
    """Refuse a central directory of millions of entries before zipfile makes an object of each."""
    tail_start = max(0, size - 65_557)
    spool.seek(tail_start)
    tail = spool.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) < end + 22:
        raise DatasetProblem("archive_invalid", "not a zip archive, or cut short")
    count, directory_bytes = struct.unpack_from("<HI", tail, end + 10)
    if count == 0xFFFF or directory_bytes == 0xFFFFFFFF:
        directory_bytes = _zip64_directory_bytes(spool, tail, end)
    # An entry has 46 bytes and its name; short names make the most entries of a byte.
    if directory_bytes > limits.archive_members * (46 + 96):
        raise DatasetProblem("archive_too_many", f"more than {limits.archive_members:,} members")
    spool.seek(0)


def _zip64_directory_bytes(spool: BinaryIO, tail: bytes, end: int) -> int:
    locator = tail.rfind(b"PK\x06\x07", 0, end)
    if locator < 0 or end < locator + 20:
        raise DatasetProblem("archive_invalid", "the archive's end record is damaged")
    spool.seek(min(struct.unpack_from("<Q", tail, locator + 8)[0], 2**62), os.SEEK_SET)
    record = spool.read(56)
    if len(record) < 56 or record[:4] != b"PK\x06\x06":
        raise DatasetProblem("archive_invalid", "the archive's end record is damaged")
    return struct.unpack_from("<Q", record, 40)[0]


def _read_pictures(archive: zipfile.ZipFile, size: int, limits: Limits) -> tuple[np.ndarray, list[str]]:
    pictures: list[np.ndarray] = []
    labels: list[str] = []
    for name, label, content in _members(archive, size, limits):
        picture = decode_picture(content, limits=limits, name=name)
        if pictures and picture.shape != pictures[0].shape:
            detail = f"{name} is shaped {picture.shape} where the first is {pictures[0].shape}"
            raise DatasetProblem("image_shape", detail, column=name)
        if (len(pictures) + 1) * picture.size > limits.values:
            raise DatasetProblem("too_large", f"more than {limits.values:,} pixels in all")
        pictures.append(picture)
        labels.append(label)
    if not pictures:
        raise DatasetProblem("empty", "the archive has no pictures")
    return np.stack(pictures), labels


def _members(archive: zipfile.ZipFile, size: int, limits: Limits) -> Iterator[tuple[str, str, bytes]]:
    """(name, class, content) of every picture, names in order; every entry is checked before any is unpacked."""
    entries = archive.infolist()
    if len(entries) > limits.archive_members:
        raise DatasetProblem("archive_too_many", f"{len(entries):,} members; {limits.archive_members:,} at most")
    wanted: dict[str, tuple[str, zipfile.ZipInfo]] = {}
    for entry in entries:
        label = _check_entry(entry, limits)
        if label is None:
            continue
        if entry.filename in wanted:
            raise DatasetProblem("archive_entry_repeated", f"{entry.filename} stands twice", column=entry.filename)
        wanted[entry.filename] = (label, entry)
    if len(wanted) > limits.rows:
        raise DatasetProblem("rows_too_many", f"more than {limits.rows:,} pictures")
    unpacked = 0
    for name in sorted(wanted):
        label, entry = wanted[name]
        content = _unpack(archive, entry, limits)
        unpacked += len(content)
        if unpacked > limits.archive_unpacked_bytes:
            raise DatasetProblem("too_large", f"unpacks to more than {limits.archive_unpacked_bytes:,} bytes")
        if unpacked > limits.archive_ratio * size + MIB:
            raise DatasetProblem("archive_ratio", f"unpacks to more than {limits.archive_ratio} times its size")
        yield name, label, content


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limits: Limits) -> bytes:
    out = io.BytesIO()
    with archive.open(entry) as member:
        while block := member.read(64 * 1024):
            out.write(block)
            if out.tell() > limits.archive_member_bytes:
                detail = f"{entry.filename} unpacks to more than {limits.archive_member_bytes:,} bytes"
                raise DatasetProblem("too_large", detail, column=entry.filename)
    if out.tell() != entry.file_size:
        detail = f"{entry.filename} declares {entry.file_size:,} bytes and has {out.tell():,}"
        raise DatasetProblem("archive_invalid", detail, column=entry.filename)
    return out.getvalue()


def _check_entry(entry: zipfile.ZipInfo, limits: Limits) -> str | None:
    """The class of a member, or None for one that is no picture by its place (folders, a system's own files)."""
    # orig_filename is what the archive says; zipfile cuts `filename` at a NUL and turns backslashes.
    name = entry.orig_filename
    parts = PurePosixPath(name).parts
    shown = name[:80]
    if len(name) > limits.archive_name_characters or not name.isprintable() or not parts:
        raise DatasetProblem("archive_entry_name", f"{shown!r} is no name for a file")
    if name.startswith("/") or "\\" in name or ".." in parts or ":" in parts[0]:
        raise DatasetProblem("archive_entry_name", f"{shown!r} leads out of the archive", column=shown)
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DatasetProblem("archive_entry_link", f"{shown!r} is a link or a device", column=shown)
    if entry.flag_bits & _ENCRYPTED:
        raise DatasetProblem("archive_entry_encrypted", f"{shown!r} is encrypted", column=shown)
    if entry.compress_type not in _METHODS:
        raise DatasetProblem("archive_invalid", f"{shown!r} is packed in a way that is not read", column=shown)
    if len(parts) > limits.archive_depth:
        raise DatasetProblem("archive_too_deep", f"{shown!r} lies deeper than {limits.archive_depth}", column=shown)
    if entry.is_dir() or parts[-1] in _IGNORED_FILES or _IGNORED_FOLDERS & set(parts[:-1]):
        return None
    if len(parts) < 2:
        raise DatasetProblem("archive_layout", f"{shown!r} lies in no class's folder", column=shown)
    return parts[-2]
