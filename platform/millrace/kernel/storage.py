"""Blobs (data sets, checkpoints, weights) under content-addressed keys, in a folder that web and workers share."""

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlparse

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


@cache
def root() -> Path:
    """The folder behind a `file://` STORAGE_URL."""
    parts = urlparse(settings.STORAGE_URL)
    if parts.scheme != "file":
        raise ImproperlyConfigured(f"STORAGE_URL begins with {parts.scheme}://; only file:// is built in.")
    folder = Path(unquote(parts.path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def content_key(data: bytes, suffix: str = "") -> str:
    """`sha256/ab/cd/abcd…suffix`: equal bytes have equal keys."""
    digest = hashlib.sha256(data).hexdigest()
    return f"sha256/{digest[:2]}/{digest[2:4]}/{digest}{suffix}"


def put(key: str, source: bytes | Path | BinaryIO) -> None:
    """Store bytes, a file's content or the rest of an open one under `key`, whole or not at all: written beside it,
    synced, renamed."""
    target = local_path(key)
    _make_folder(target.parent)
    handle, temporary = tempfile.mkstemp(dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            if isinstance(source, bytes):
                out.write(source)
            elif isinstance(source, Path):
                with source.open("rb") as read:
                    shutil.copyfileobj(read, out)
            else:
                shutil.copyfileobj(source, out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _make_folder(folder: Path) -> None:
    if not folder.exists():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """A name is on the disk when its folder is: before, a power cut takes the file from the row that names it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def keep(key: str, source: bytes | Path | BinaryIO) -> None:
    """Store under a key that names the content, unless it is there. Either way it counts as just used: `discard_idle`
    leaves it alone until the caller has written down who needs it."""
    path = local_path(key)
    with contextlib.suppress(FileNotFoundError, PermissionError):  # another user's: its folder lets it be replaced
        os.utime(path)
        if path.exists():  # not moved aside between being found and being renewed
            return
    put(key, source)


def discard_idle(key: str, *, idle_seconds: float) -> bool:
    """Delete a blob that nobody stored or kept for that long; False where somebody did. One that is gone is deleted.

    An idle one is moved aside and its age read again: whoever keeps it meanwhile finds it missing and stores it anew.
    """
    path = local_path(key)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        if _age(path) < idle_seconds:
            return False  # where it is, since somebody may be reading it
        os.rename(path, aside)
    except FileNotFoundError:
        return True
    if _age(aside) < idle_seconds:
        os.rename(aside, path)  # the same content, should somebody have stored it by now
        return False
    aside.unlink()
    return True


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def open_blob(key: str) -> BinaryIO:
    """The blob, opened for reading; FileNotFoundError when there is none."""
    return local_path(key).open("rb")


def exists(key: str) -> bool:
    """Whether something is stored under `key`."""
    return local_path(key).is_file()


def local_path(key: str) -> Path:
    """Where the blob lies on this machine; refuses keys that would leave the store."""
    path = (root() / key).resolve()
    if not path.is_relative_to(root().resolve()):
        raise ValueError(f"{key!r} leaves the store.")
    return path
