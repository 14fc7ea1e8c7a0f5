"""Which examples are held out: a fixed fifth, the same whoever asks and whenever."""

from __future__ import annotations

import hashlib
from collections import defaultdict

import numpy as np

HELD_OUT_SHARE = 5


def content_digests(inputs: np.ndarray) -> list[bytes]:
    """SHA-256 of every example's bytes, in order."""
    return [hashlib.sha256(row.tobytes()).digest() for row in np.ascontiguousarray(inputs)]


def held_out_mask(inputs: np.ndarray, labels: np.ndarray, digests: list[bytes] | None = None) -> np.ndarray:
    """True for the rows held out: a fifth of every class (rounded, one at least where a class has two examples).

    Examples are taken in the order of their content's hash, so that neither the order of the upload nor chance moves
    them; equal examples go to the same side together, so that nothing held out was trained on.
    """
    digests = content_digests(inputs) if digests is None else digests
    groups: dict[bytes, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        groups[digest].append(row)
    by_class: dict[int, list[bytes]] = defaultdict(list)
    for digest, rows in groups.items():
        by_class[min(int(labels[row]) for row in rows)].append(digest)
    mask = np.zeros(len(labels), dtype=bool)
    for class_digests in by_class.values():
        _hold_out(mask, sorted(class_digests), groups)
    return mask


def _hold_out(mask: np.ndarray, digests: list[bytes], groups: dict[bytes, list[int]]) -> None:
    """Mark a fifth of one class; a group that would pass the fifth is skipped, so that training keeps its share."""
    total = sum(len(groups[digest]) for digest in digests)
    wanted = max(1, round(total / HELD_OUT_SHARE)) if len(digests) > 1 else 0
    taken = 0
    for digest in digests:
        rows = groups[digest]
        if taken + len(rows) <= wanted:
            mask[rows] = True
            taken += len(rows)
