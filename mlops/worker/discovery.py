"""What devices this machine has, found without torch; each is held by one process at a time."""

import fcntl
import os
import re
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_GPU_LINE = re.compile(r"^GPU \d+: (?P<name>.+) \(UUID: (?P<uuid>GPU-[0-9a-f-]+)\)")
_LONGEST_CLASS = 32
_SLICE_LINE = re.compile(r"^\s+MIG (?P<profile>\S+)\s.*\(UUID: (?P<uuid>MIG-[0-9A-Za-z/-]+)\)")


@dataclass(frozen=True)
class FoundDevice:
    """A GPU, a slice of one, or the processor. `environment` is what a process that may use it is given."""

    name: str
    device_class: str
    torch_device: str
    environment: dict[str, str] = field(default_factory=dict)


class DeviceLock:
    """Held while this process supervises a device: another process on the machine finds it taken."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @classmethod
    def take(cls, folder: Path, name: str) -> "DeviceLock | None":
        """The lock, or None where another process has it. A process that dies lets it go."""
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / f"{re.sub(r'[^A-Za-z0-9.-]', '_', name)}.lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return cls(file)

    def release(self) -> None:
        """Let another process have the device."""
        self._file.close()


def find_gpus() -> list[FoundDevice]:
    """The GPUs that this process may see; a sliced GPU counts as its slices, each with a class of its own (J9)."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False).stdout
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return []
    return _visible(parse_gpus(listed), os.environ.get("CUDA_VISIBLE_DEVICES"))


def parse_gpus(listed: str) -> list[FoundDevice]:
    """Devices of `nvidia-smi -L`'s answer."""
    found: list[FoundDevice] = []
    card_class = ""
    for line in listed.splitlines():
        if card := _GPU_LINE.match(line):
            card_class = class_of(card["name"])
            found.append(_gpu(card["uuid"], card_class))
        elif part := _SLICE_LINE.match(line):
            if found and found[-1].device_class == card_class:
                found.pop()  # the card itself is not for use while it is sliced
            found.append(_gpu(part["uuid"], _slice_class(card_class, part["profile"])))
    return found


def class_of(name: str) -> str:
    """A card's class from its name: "NVIDIA H100 80GB HBM3" is an h100, "NVIDIA GeForce RTX 4090" an rtx-4090."""
    words = [word for word in name.lower().split() if word not in {"nvidia", "geforce", "tesla", "quadro"}]
    kept = [word for word in words if not re.fullmatch(r"\d+gb|hbm\d\w*|pcie|sxm\d?|nvl", word)]
    return re.sub(r"[^a-z0-9.]+", "-", "-".join(kept))[:24].strip("-") or "gpu"


def _slice_class(card_class: str, profile: str) -> str:
    """A slice's class, "h100-1g.10gb-me" for the profile 1g.10gb+me: short and plain enough for a meter's name."""
    plain = re.sub(r"[^a-z0-9.]+", "-", profile.lower()).strip("-")
    return f"{card_class[: _LONGEST_CLASS - 1 - len(plain)].strip('-')}-{plain}"


def find_processor(slot: int, slots: int) -> FoundDevice:
    """The machine's processor as the place for one of `slots` jobs at a time."""
    threads = max(1, len(os.sched_getaffinity(0)) // slots)
    return FoundDevice(f"{socket.gethostname()}/cpu/{slot}", "cpu", "cpu", {"OMP_NUM_THREADS": str(threads)})


def _gpu(uuid: str, device_class: str) -> FoundDevice:
    return FoundDevice(f"{socket.gethostname()}/{uuid}", device_class, "cuda", {"CUDA_VISIBLE_DEVICES": uuid})


def _visible(found: list[FoundDevice], wanted: str | None) -> list[FoundDevice]:
    if wanted is None:
        return found
    chosen: list[FoundDevice] = []
    for name in wanted.split(","):
        device = _named(found, name.strip())
        if device is None:
            break
        chosen.append(device)
    return chosen


def _named(found: list[FoundDevice], name: str) -> FoundDevice | None:
    """The device of that number, or whose identifier begins so; None for none, behind which CUDA sees no more either:
    "-1" hides them all."""
    if name.isdecimal():
        return found[int(name)] if int(name) < len(found) else None
    fits = [device for device in found if name and device.environment["CUDA_VISIBLE_DEVICES"].startswith(name)]
    return fits[0] if len(fits) == 1 else None
