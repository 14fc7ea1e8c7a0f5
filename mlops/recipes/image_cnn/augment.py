"""Turn, scale, shift and mirror a batch of pictures: one affine map a picture, on tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def random_affine(planes: Tensor, params: Mapping[str, Any], generator: torch.Generator) -> Tensor:
    """Each picture of (n, c, h, w) moved by its own random map; what comes in from outside is the nearest edge.

    The draws come from `generator` (on the CPU, so that a seed means the same on every device), uniform within
    ±`rotation` degrees, 1 ± `scale`, ±`shift` of the side; `flip` mirrors half of them.
    """
    count = len(planes)
    draws = torch.rand(5, count, generator=generator) * 2 - 1
    angle = draws[0] * (params["rotation"] * math.pi / 180)
    size = 1 + draws[1] * params["scale"]
    mirror = torch.where(draws[4] < 0, -1.0, 1.0) if params["flip"] else torch.ones(count)
    maps = torch.empty(count, 2, 3)
    maps[:, 0, 0] = angle.cos() * size * mirror
    maps[:, 0, 1] = -angle.sin() * size
    maps[:, 1, 0] = angle.sin() * size * mirror
    maps[:, 1, 1] = angle.cos() * size
    maps[:, :, 2] = draws[2:4].T * (2 * params["shift"])
    grid = functional.affine_grid(maps.to(planes.device), list(planes.shape), align_corners=False)
    return functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)
