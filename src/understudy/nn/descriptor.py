"""The residual network of dlib's face descriptor in torch: same layers and numbers, differentiable, batched.

He et al. 2016, "Deep Residual Learning for Image Recognition", in the shape that dlib's author published: 29
convolutions, half as many filters as ResNet-34, trained with a metric loss to 128 numbers whose Euclidean
distance is below 0.6 for two pictures of one person. ``read_dlib`` reads the published file; nothing here
opens files.

Two habits of dlib that differ from torch's: a convolution with a stride has no padding, and where the
branches of a block differ in size or channels the smaller one counts as zero there (bottom, right, last
channels).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.errors import WeightsError

SIDE = 150
"""Side of the picture that it was trained with, pixels."""
DIMENSION = 128
"""Length of the descriptor."""

_MEAN = (122.782, 117.001, 104.298)
_BLOCKS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, number of blocks, and whether the first of them halves the size."""


class DescriptorNetwork(nn.Module):
    """dlib's ``face_recognition_resnet_model_v1``; its affine layers are folded into the convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, stride=2)
        blocks: list[nn.Module] = []
        channels = 32
        for width, count, halves in _BLOCKS:
            for index in range(count):
                blocks.append(_Residual(channels, width, halves=halves and index == 0))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, DIMENSION, bias=False)
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 128"]:
        """Descriptors of aligned RGB pictures in [0, 1]; 150 x 150 is what it was trained with."""
        mean = self.get_buffer("mean")
        x = (pictures * 255.0 - mean) / 256.0
        x = x.contiguous(memory_format=torch.channels_last)
        x = F.max_pool2d(F.relu(self.stem(x)), 3, stride=2)
        return self.head(self.blocks(x).mean((2, 3)))


class _Residual(nn.Module):
    """Two 3 x 3 convolutions round which the input passes, averaged 2 x 2 where the block halves the size."""

    def __init__(self, channels: int, width: int, *, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.first = nn.Conv2d(channels, width, 3, stride=2 if halves else 1, padding=0 if halves else 1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.second(F.relu(self.first(x)))
        if self.halves:
            x = F.avg_pool2d(x, 2)
            size = [max(a, b) for a, b in zip(x.shape[1:], branch.shape[1:], strict=True)]
            x, branch = _grown(x, size), _grown(branch, size)
        return F.relu(x + branch)


def _grown(x: Tensor, size: list[int]) -> Tensor:
    """Zeros added behind the channels, rows and columns that are there."""
    missing = [want - have for want, have in zip(size, x.shape[1:], strict=True)]
    return F.pad(x, (0, missing[2], 0, missing[1], 0, missing[0])) if any(missing) else x


# ----------------------------------------------------------------------------------------- dlib's file


def read_dlib(data: bytes) -> DescriptorNetwork:
    """The network with the weights of dlib's ``dlib_face_recognition_resnet_model_v1.dat``.

    Args:
        data: content of that file.

    Raises:
        WeightsError: it is of another kind or network.
    """
    try:
        layers = _Reader(data).network()
        return _assemble(layers)
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise WeightsError(f"this is not dlib's face_recognition_resnet_model_v1: {error}") from error


def _assemble(layers: list[tuple[str, np.ndarray]]) -> DescriptorNetwork:
    """Put parameters, in the order of computation, into a network."""
    network = DescriptorNetwork()
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    expected = ["con", "affine"] * len(convolutions) + ["fc"]
    if [kind for kind, _ in layers] != expected:
        raise ValueError(f"{len(layers)} layers with weights where {len(expected)} were wanted")
    with torch.no_grad():
        for index, module in enumerate(convolutions):
            filters, affine = layers[2 * index][1], layers[2 * index + 1][1]
            count = module.out_channels
            gain, shift = torch.from_numpy(affine.reshape(2, count))
            weight = torch.from_numpy(filters[:-count]).view_as(module.weight) * gain.view(-1, 1, 1, 1)
            assert module.bias is not None
            # (B, H, W, C) in memory: a third faster on a processor
            module.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
            module.bias.copy_(torch.from_numpy(filters[-count:]) * gain + shift)
        network.head.weight.copy_(torch.from_numpy(layers[-1][1]).view(-1, DIMENSION).T)
    return network.requires_grad_(False).eval()


class _Reader:
    """Reads dlib's serialisation.

    An integer is a byte with its length (and sign in the top bit), then its bytes from the lowest; a float
    is two integers, mantissa and exponent of two; text is its length and its bytes; a truth value is "0" or
    "1"; a tensor is a version, four extents and plain little-endian floats. A network is the version numbers
    of its layers from the last to the first, then the layers from the first to the last.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def network(self) -> list[tuple[str, np.ndarray]]:
        """Kind and parameters of each layer that has some, in the order of computation."""
        if self.integer() != 1 or self.text() != "loss_metric_2":
            raise ValueError("it does not begin with a metric loss")
        self.numbers(2)  # margin and threshold of the loss
        while True:
            begin = self.at
            if self.integer() > 3:  # the length of the input layer's name; version numbers are 1 to 3
                break
        self.at = begin
        self._input()
        layers: list[tuple[str, np.ndarray]] = []
        while self.at < len(self.data):
            kind = self.text()
            if kind not in _DETAILS:
                raise ValueError(f"unknown layer {kind!r} at byte {self.at}")
            parameters = _DETAILS[kind](self)
            self._state()
            if not layers:
                self.integer()  # how many pictures the first layer makes of one
            if parameters is not None:
                layers.append((kind.split("_")[0], parameters))
        return layers

    def _input(self) -> None:
        name, mean, size = self.text(), self.numbers(3), (self.integer(), self.integer())
        if name != "input_rgb_image_sized" or size != (SIDE, SIDE) or not np.allclose(mean, _MEAN, atol=1e-3):
            raise ValueError(f"input {name!r} with mean {mean} and size {size}")

    def _state(self) -> None:
        """What every layer keeps of its training: three truth values and three tensors, empty here."""
        self.at += 3
        for _ in range(3):
            self.tensor()

    def integer(self) -> int:
        """One integer."""
        head = self.data[self.at]
        length = head & 0x0F
        if head & 0x70 or not 1 <= length <= 8:
            raise ValueError(f"no integer at byte {self.at}")
        value = int.from_bytes(self.data[self.at + 1 : self.at + 1 + length], "little")
        self.at += 1 + length
        return -value if head & 0x80 else value

    def integers(self, count: int) -> list[int]:
        """Several integers."""
        return [self.integer() for _ in range(count)]

    def numbers(self, count: int) -> list[float]:
        """Several floating-point numbers."""
        return [self.integer() * 2.0 ** self.integer() for _ in range(count)]

    def text(self) -> str:
        """A string."""
        length = self.integer()
        self.at += length
        return self.data[self.at - length : self.at].decode("ascii")

    def tensor(self) -> np.ndarray:
        """A tensor, flat."""
        if self.integer() != 2:
            raise ValueError(f"no tensor at byte {self.at}")
        count = int(np.prod(self.integers(4), dtype=np.int64))
        values = np.frombuffer(self.data, "<f4", count, self.at).copy()
        self.at += 4 * count
        return values

    def convolution(self) -> np.ndarray:
        """Filters, then biases."""
        parameters = self.tensor()
        self.integers(7 + 2 * 5)  # filters, size, stride and padding; where filters and biases begin
        self.numbers(4)  # learning rates
        return parameters

    def affine(self) -> np.ndarray:
        """Factors, then summands."""
        parameters = self.tensor()
        self.integers(2 * 5 + 1)  # where both begin; the mode
        return parameters

    def linear(self) -> np.ndarray:
        """Inputs times outputs."""
        self.integers(2)
        parameters = self.tensor()
        self.integers(2 * 5 + 1)  # where weights and biases begin; the mode
        self.numbers(4)  # learning rates
        return parameters

    def pool(self) -> None:
        """Size, stride and padding: fixed by the network."""
        self.integers(6)

    def nothing(self) -> None:
        """A layer without details."""


_DETAILS: dict[str, Callable[[_Reader], np.ndarray | None]] = {
    "con_4": _Reader.convolution,
    "affine_": _Reader.affine,
    "fc_2": _Reader.linear,
    "max_pool_2": _Reader.pool,
    "avg_pool_2": _Reader.pool,
    "relu_": _Reader.nothing,
    "add_prev_": _Reader.nothing,
}
