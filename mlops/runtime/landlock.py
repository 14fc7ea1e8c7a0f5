"""Linux's Landlock: a process gives up, for good and for all it starts, every file and TCP port but those it names.

Needs no privilege and no namespace, so it holds in containers too. Native code is held by it as much as Python. No torch.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

# The same numbers on every architecture that Linux added since 2020.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_ASKED = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_CHANGES = sum(1 << bit for bit in range(4, 13))  # remove and make, of every kind of file
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_ALL_TCP = 0b11  # bind, connect
_ALL_SCOPES = 0b11  # abstract sockets, signals: nothing outside is reached through them
_FIRST_WITH_REFER, _FIRST_WITH_TRUNCATE, _FIRST_WITH_TCP, _FIRST_WITH_SCOPES = 2, 3, 4, 6
# What may be granted on a path that is no folder.
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scopes", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def version() -> int:
    """The kernel's Landlock version; 0 where there is none (too old, switched off, or forbidden here)."""
    answer = _syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_ASKED))
    return max(0, answer)


def confine(*, read: Iterable[str], listed: Iterable[str], write: Iterable[str]) -> bool:
    """Leave only what lies beneath `read` (to read and execute), `write` (everything) and `listed` (names only).

    Paths that are not there or out of reach are passed over. Must run while the process has one thread. Says whether TCP
    is cut off too (version 4 and later). Raises OSError.
    """
    known = version()
    files = _EXECUTE | _WRITE_FILE | _READ_FILE | _READ_DIR | _CHANGES
    files |= _REFER if known >= _FIRST_WITH_REFER else 0
    files |= _TRUNCATE if known >= _FIRST_WITH_TRUNCATE else 0
    tcp = _ALL_TCP if known >= _FIRST_WITH_TCP else 0
    wanted = _Ruleset(files, tcp, _ALL_SCOPES if known >= _FIRST_WITH_SCOPES else 0)
    ruleset = _checked(
        _CREATE_RULESET, ctypes.byref(wanted), ctypes.c_size_t(ctypes.sizeof(wanted)), ctypes.c_uint32(0)
    )
    try:
        for paths, rights in ((read, _EXECUTE | _READ_FILE | _READ_DIR), (listed, _READ_DIR), (write, files)):
            for path in paths:
                _allow(ruleset, path, rights)
        _checked(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return bool(tcp)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return  # what cannot be reached needs no grant
    try:
        rule = _PathBeneath(rights if Path(path).is_dir() else rights & _ON_FILES, handle)
        _checked(
            _ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_RULE_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0)
        )
    finally:
        os.close(handle)


def _syscall(number: int, *arguments: object) -> int:
    return int(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *arguments))


def _checked(number: int, *arguments: object) -> int:
    answer = _syscall(number, *arguments)
    if answer < 0:
        raise OSError(ctypes.get_errno(), "Landlock")
    return answer
