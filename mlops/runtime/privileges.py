"""Becoming a user without rights, and giving the last capability up. No torch."""

from __future__ import annotations

import ctypes
import os
import pwd
from collections.abc import Iterable
from pathlib import Path

_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


def group_of(user: int) -> int:
    """The user's group; a user that no file names has the group of its own number."""
    try:
        return pwd.getpwuid(user).pw_gid
    except KeyError:
        return user


def may_pass(user: int, paths: Iterable[str]) -> bool:
    """Whether `user`, without privileges, reaches each path that exists: every folder above it lets others through."""
    group = group_of(user)
    return all(
        _grants(folder, user, group, 0o1)
        for path in map(Path, paths)
        if path.exists()
        for folder in path.resolve().parents
    )


def may_read(user: int, files: Iterable[str]) -> bool:
    """Whether each file that exists is the user's own, its group's or everybody's to read."""
    group = group_of(user)
    return all(_grants(path, user, group, 0o4) for path in map(Path, files) if path.exists())


def _grants(path: Path, user: int, group: int, right: int) -> bool:
    """Whether the mode gives `user` this right (4 read, 1 pass)."""
    status = path.stat()
    if status.st_uid == user:
        return bool(status.st_mode & right << 6)
    return bool(status.st_mode & (right << 3 if status.st_gid == group else right))


def become(user: int, *, reads_everything: bool) -> None:
    """From root to `user`, for good. Raises PermissionError where root here may not (a container without that right).

    `reads_everything` keeps one right, to pass closed folders and read: only for a process that Landlock confines.
    """
    if reads_everything:
        _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    group = group_of(user)
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    if reads_everything:
        keep_capabilities(1 << _CAP_DAC_READ_SEARCH)
        # Ambient: what the process starts finds its files too.
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH)
    else:
        keep_capabilities(0)


def hand_over(folder: Path, user: int) -> None:
    """Make a folder and all in it the user's own, closed to others. Links are not followed."""
    group = group_of(user)
    os.chmod(folder, 0o700)
    os.chown(folder, user, group)
    for inside, folders, files in os.walk(folder):
        for name in folders + files:
            os.chown(os.path.join(inside, name), user, group, follow_symlinks=False)


def keep_capabilities(kept: int) -> None:
    """Give up every capability but these bits; one that a user namespace brought, too. Raises OSError."""
    header = _Header(_CAPABILITY_VERSION_3, 0)
    sets = (_Sets * 2)(_Sets(kept, kept, kept), _Sets(0, 0, 0))
    if ctypes.CDLL(None, use_errno=True).capset(ctypes.byref(header), ctypes.byref(sets)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _prctl(option: int, first: int, second: int = 0) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, first, second, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")
