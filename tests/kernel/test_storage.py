"""Blobs are stored whole or not at all, and never outside of the store."""

import os
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from millrace.kernel import storage

pytestmark = pytest.mark.usefixtures("own_store")


def test_what_is_put_is_read_back(tmp_path: Path) -> None:
    key = storage.content_key(b"weights", ".safetensors")
    source = tmp_path / "file"
    source.write_bytes(b"from a file")

    storage.put(key, b"weights")
    storage.put("other/file", source)

    assert key.startswith("sha256/")
    assert key.endswith(".safetensors")
    with storage.open_blob(key) as blob:
        assert blob.read() == b"weights"
    with storage.open_blob("other/file") as blob:
        assert blob.read() == b"from a file"
    assert storage.exists(key)
    assert not storage.exists("other")


def test_equal_bytes_have_equal_keys() -> None:
    assert storage.content_key(b"a") == storage.content_key(b"a") != storage.content_key(b"b")


def test_a_write_that_breaks_off_leaves_the_old_content_and_no_debris(monkeypatch: pytest.MonkeyPatch) -> None:
    storage.put("a/b", b"old")

    def no_space(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(storage.os, "fsync", no_space)
    with pytest.raises(OSError, match="no space"):
        storage.put("a/b", b"new")

    with storage.open_blob("a/b") as blob:
        assert blob.read() == b"old"
    assert [path.name for path in storage.local_path("a").iterdir()] == ["b"]


def test_a_blob_appears_only_when_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    real = storage.os.replace

    def look_then_replace(source: object, target: object) -> None:
        seen.append(storage.exists("a/b"))
        real(source, target)

    monkeypatch.setattr(storage.os, "replace", look_then_replace)
    storage.put("a/b", b"x")

    assert seen == [False]
    assert storage.exists("a/b")


def test_a_stored_blobs_name_is_on_the_disk_with_every_new_folder_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = storage.os.fsync

    def note(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    monkeypatch.setattr(storage.os, "fsync", note)
    storage.put("a/b/blob", b"x")
    root = str(storage.root())
    assert synced[:2] == [root, f"{root}/a"]  # the names of the new folders
    assert synced[3:] == [f"{root}/a/b"]  # after the content, the blob's own

    synced.clear()
    storage.put("a/b/other", b"x")
    assert synced[1:] == [f"{root}/a/b"]


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd", "a/../../store2/x"])
def test_a_key_that_leaves_the_store_is_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leaves the store"):
        storage.put(key, b"x")
    with pytest.raises(ValueError, match="leaves the store"):
        storage.open_blob(key)

    assert not (tmp_path / "x").exists()


def test_a_link_out_of_the_store_is_refused(tmp_path: Path) -> None:
    storage.root().joinpath("link").symlink_to(tmp_path)

    with pytest.raises(ValueError, match="leaves the store"):
        storage.put("link/x", b"x")


def test_a_store_of_another_kind_is_refused_at_once(settings) -> None:
    settings.STORAGE_URL = "ftp://example.com/"
    storage.root.cache_clear()

    with pytest.raises(ImproperlyConfigured):
        storage.root()


def test_what_is_kept_is_stored_once_and_counts_as_just_used() -> None:
    storage.keep("blob", b"content")
    os.utime(storage.local_path("blob"), (1, 1))

    storage.keep("blob", b"content")

    assert not storage.discard_idle("blob", idle_seconds=60)
    assert storage.exists("blob")
    os.utime(storage.local_path("blob"), (1, 1))
    assert storage.discard_idle("blob", idle_seconds=60)
    assert not storage.exists("blob")
    assert storage.discard_idle("blob", idle_seconds=60)
    assert list(storage.root().iterdir()) == []


def test_a_blob_in_use_stays_where_its_readers_look(monkeypatch: pytest.MonkeyPatch) -> None:
    storage.put("blob", b"content")
    monkeypatch.setattr(storage.os, "rename", lambda *_: pytest.fail("it was moved aside"))

    assert not storage.discard_idle("blob", idle_seconds=60)


def test_a_blob_that_goes_between_being_found_and_being_renewed_is_stored_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    storage.put("blob", b"content")
    os.utime(storage.local_path("blob"), (1, 1))
    found_then_gone = lambda path: storage.discard_idle("blob", idle_seconds=60)  # noqa: E731
    monkeypatch.setattr(storage.os, "utime", found_then_gone)

    storage.keep("blob", b"content")

    assert storage.exists("blob")
