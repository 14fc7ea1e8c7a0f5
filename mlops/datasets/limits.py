"""How large an upload may be. One place; a deployment passes its own."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True)
class Limits:
    """Bounds on what is read; sizes in bytes. What a file declares about itself is never trusted over these."""

    upload_bytes: int = 512 * MIB
    rows: int = 1_000_000
    columns: int = 16_384
    # rows × columns: the canonical arrays live in memory while they are checked.
    values: int = 512 * MIB
    line_bytes: int = 1 * MIB
    classes: int = 1_000
    class_name_characters: int = 200
    json_depth: int = 8
    archive_members: int = 200_000
    archive_unpacked_bytes: int = 1024 * MIB
    archive_member_bytes: int = 32 * MIB
    # Deflate cannot pass 1,032; pictures are compressed already, so far less is suspicious.
    archive_ratio: int = 100
    archive_depth: int = 6
    archive_name_characters: int = 512
    image_pixels: int = 4096 * 4096
    image_side: int = 8_192
    problems: int = 100


DEFAULT_LIMITS = Limits()
