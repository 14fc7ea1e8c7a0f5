"""Blobs (data sets, checkpoints, weights) under content-addressed keys, in a folder that web and workers share."""

import hashlib
import os
import shutil
import tempfile
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


def put(key: str, source: bytes | Path) -> None:
    """Store bytes or a file's content under `key`, whole or not at all: written beside it, synced, renamed."""
    target = local_path(key)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            if isinstance(source, bytes):
                out.write(source)
            else:
                with source.open("rb") as read:
                    shutil.copyfileobj(read, out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
