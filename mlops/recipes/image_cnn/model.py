"""The three nets of the image classifier. Input: (n, height, width[, channels]) uint8; output: (n, classes) logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mlops.recipes import DataShape

DEEP_CHANNELS = (16, 32, 64)


class ImageNet(nn.Module):
    """Bytes in, logits out: the net carries its own normalisation, so that weights alone reproduce a prediction.

    Buffers `mean` and `deviation` have one entry a channel, on the 0–1 scale.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, layers: nn.Sequential, channels: int) -> None:
        super().__init__()
        self.layers = layers
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def fit_normalisation(self, images: Tensor) -> None:
        """Take mean and deviation from the training images (uint8, as given to `prepare`)."""
        scaled = to_planes(images).double() / 255
        self.mean.copy_(scaled.mean(dim=(0, 2, 3)))
        self.deviation.copy_(scaled.std(dim=(0, 2, 3)).clamp_min(1e-3))

    def prepare(self, images: Tensor) -> Tensor:
        """uint8 (n, h, w[, c]) to normalised float32 (n, c, h, w)."""
        planes = to_planes(images).float() / 255
        return (planes - self.mean[None, :, None, None]) / self.deviation[None, :, None, None]

    def forward(self, planes: Tensor) -> Tensor:
        """Normalised planes to logits."""
        return self.layers(planes)


def to_planes(images: Tensor) -> Tensor:
    """(n, h, w) or (n, h, w, c) to (n, c, h, w); no copy."""
    return images.unsqueeze(1) if images.dim() == 3 else images.permute(0, 3, 1, 2)


def build_module(params: Mapping[str, Any], shape: DataShape) -> ImageNet:
    """The net of `params["form"]` for images of `shape`, freshly initialised from torch's current random state."""
    height, width = shape.input_shape[:2]
    channels = shape.input_shape[2] if len(shape.input_shape) == 3 else 1
    classes = len(shape.class_names)
    forms = {"plain": _plain, "deep": _deep, "mlp": _mlp}
    layers = forms[params["form"]](params, channels, height, width, classes)
    return ImageNet(layers, channels)


def _plain(params: Mapping[str, Any], channels: int, height: int, width: int, classes: int) -> nn.Sequential:
    side_pixels = ((height - 2) // 2) * ((width - 2) // 2)
    return nn.Sequential(
        nn.Conv2d(channels, 32, kernel_size=3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * side_pixels, classes),
    )


def _block(inputs: int, outputs: int, height: int, width: int) -> list[nn.Module]:
    """Convolution, normalisation, ReLU; halves the picture while there is something to halve.

    The pooling stands before the normalisation, which then has a quarter of the work.
    """
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
    halve = [nn.MaxPool2d(2)] if min(height, width) >= 4 else []
    return [convolution, *halve, nn.BatchNorm2d(outputs), nn.ReLU()]


def _deep(params: Mapping[str, Any], channels: int, height: int, width: int, classes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for outputs in DEEP_CHANNELS:
        layers += _block(channels, outputs, height, width)
        channels = outputs
        if min(height, width) >= 4:
            height, width = height // 2, width // 2
    if max(height, width) > 4:
        # Large pictures would make the dense layer the whole net; small ones keep where things are.
        height, width = min(height, 4), min(width, 4)
        layers.append(nn.AdaptiveAvgPool2d((height, width)))
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Dropout(params["dropout"]),
        nn.Linear(channels * height * width, params["hidden"]),
        nn.ReLU(),
        nn.Dropout(params["dropout"]),
        nn.Linear(params["hidden"], classes),
    )


def _mlp(params: Mapping[str, Any], channels: int, height: int, width: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * height * width, params["hidden"]),
        nn.ReLU(),
        nn.Dropout(params["dropout"]),
        nn.Linear(params["hidden"], classes),
    )
