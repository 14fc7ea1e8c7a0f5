"""Zips of pictures: sound ones are read, hostile ones are refused before they cost anything."""

import io
import stat
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from mlops.datasets import DatasetProblem, Limits, parse_upload


def png(value=0, size=(6, 5), mode="L"):
    out = io.BytesIO()
    Image.new(mode, size, value).save(out, format="PNG")
    return out.getvalue()


def members(count=10, **options):
    return {f"data/{'ab'[row % 2]}/{row:03}.png": png(row, **options) for row in range(count)}


def zipped(files, compression=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def parse(raw, **options):
    return parse_upload(io.BytesIO(raw), format="image-zip", **options)


def code_of(raw, **options):
    with pytest.raises(DatasetProblem) as caught:
        parse(raw, **options)
    return caught.value.code


def header_only_png(width, height):
    """A PNG that declares its size and has next to nothing behind it."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0), b"IDAT" + zlib.compress(b"\0" * 100))
    packed = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_folders_are_classes():
    parsed = parse(zipped(members()))

    assert parsed.inputs.shape == (10, 5, 6)
    assert parsed.class_names == ("a", "b")
    assert parsed.inputs[parsed.labels == 1][:, 0, 0].tolist() == [1, 3, 5, 7, 9]


def test_colour_pictures_have_three_planes():
    files = {f"{'ab'[row % 2]}/{row}.png": png((row, 2, 3), mode="RGB") for row in range(8)}

    assert parse(zipped(files)).image_shape == (5, 6, 3)


def test_a_systems_own_files_are_passed_over():
    files = members() | {"__MACOSX/data/a/._x.png": b"x", "data/.DS_Store": b"x", "data/a/Thumbs.db": b"x"}

    assert len(parse(zipped(files))) == 10


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("../../etc/a/x.png", "archive_entry_name"),
        ("/etc/a/x.png", "archive_entry_name"),
        ("a\\..\\x.png", "archive_entry_name"),
        ("C:/a/x.png", "archive_entry_name"),
        ("a/\x01x.png", "archive_entry_name"),
        ("a/" * 9 + "x.png", "archive_too_deep"),
        ("x.png", "archive_layout"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(name, code):
    assert code_of(zipped(members() | {name: png()})) == code


def test_links_encrypted_and_repeated_members_are_refused():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("a/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert code_of(out.getvalue()) == "archive_entry_link"

    raw = bytearray(zipped(members()))
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    assert code_of(bytes(raw)) == "archive_entry_encrypted"

    twice = zipped({"a/x.png": png(), "a/y.png": png()}).replace(b"a/y.png", b"a/x.png")
    assert code_of(twice) == "archive_entry_repeated"


def test_truncated_and_damaged_archives_are_refused():
    raw = zipped(members())
    for cut in (10, len(raw) // 3, len(raw) // 2, len(raw) - 30, len(raw) - 1):
        assert code_of(raw[:cut]) in ("archive_invalid", "image_invalid")

    damaged = bytearray(raw)
    damaged[45:60] = b"\xff" * 15
    assert code_of(bytes(damaged)) in ("archive_invalid", "image_invalid")
    assert code_of(b"not a zip") == "archive_invalid"
    assert code_of(b"") == "empty"


def test_a_bomb_is_refused_within_bounded_memory():
    bomb = zipped(members() | {"data/a/zero.png": b"\0" * (200 * 1024 * 1024)})
    assert len(bomb) < 1024 * 1024

    tracemalloc.start()
    code = code_of(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert code == "too_large"
    assert peak < 100 * 1024 * 1024


def test_many_middling_members_count_together():
    files = {f"a/{row}.png": png(row) + b"\0" * 3_000_000 for row in range(4)}

    assert code_of(zipped(files)) == "archive_ratio"
    assert code_of(zipped(files), limits=Limits(archive_unpacked_bytes=1_000_000)) == "too_large"


def test_declared_sizes_are_not_believed():
    raw = bytearray(zipped(members() | {"data/a/zz.png": b"\0" * (40 * 1024 * 1024)}))
    entry = raw.rindex(b"PK\x01\x02")
    struct.pack_into("<I", raw, entry + 24, 10)

    assert code_of(bytes(raw)) in ("archive_invalid", "image_invalid", "too_large")


def test_too_many_members_are_counted_before_they_are_read():
    assert code_of(zipped(members(20)), limits=Limits(archive_members=10)) == "archive_too_many"

    raw = bytearray(zipped(members()))
    struct.pack_into("<I", raw, raw.rindex(b"PK\x05\x06") + 12, 0x7FFFFFFF)
    assert code_of(bytes(raw)) == "archive_too_many"


def test_a_huge_picture_is_refused_by_its_header():
    tracemalloc.start()
    code = code_of(zipped(members() | {"data/a/huge.png": header_only_png(60_000, 60_000)}))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert code == "image_too_large"
    assert peak < 50 * 1024 * 1024
    assert code_of(zipped({"a/x.png": header_only_png(5_000, 5_000)})) == "image_too_large"


def test_pictures_that_differ_or_are_none_are_refused():
    assert code_of(zipped(members() | {"data/a/odd.png": png(size=(7, 5))})) == "image_shape"
    assert code_of(zipped(members() | {"data/a/odd.png": png((1, 2, 3), mode="RGB")})) == "image_shape"
    assert code_of(zipped(members() | {"data/a/odd.png": b"GIF89a"})) == "image_invalid"
    assert code_of(zipped(members() | {"data/a/odd.png": png(size=(60, 50))[:-30]})) == "image_invalid"


def test_the_order_of_the_archive_does_not_matter():
    files = members()
    turned = dict(reversed(files.items()))

    assert parse(zipped(files)).content_hash == parse(zipped(turned)).content_hash
    assert np.array_equal(parse(zipped(files)).held_out, parse(zipped(turned)).held_out)
