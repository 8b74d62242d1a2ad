"""How DeepFaceLab names and lays out the numbers of a network, entry by entry, both ways.

Its reference implementation ("leras", TensorFlow) keeps a convolution's kernel as (rows, columns, in, out), a
transposed one's as (rows, columns, out, in) and a dense layer's matrix as (in, out); ours are (out, in,
rows, columns), (in, out, rows, columns) and (out, in). Pictures are BGR there and RGB here, so the first
convolution's input channels and the last ones' output channels are turned round. Where a picture is
doubled, four times the channels become 2 x 2 pixels: TensorFlow's ``depth_to_space`` has the pixel as the
slower index (place · C + channel), torch's ``pixel_shuffle`` the channel (channel · 4 + place). Flattening
is channel first in both.

Every conversion moves numbers and changes none: there and back gives the same bits. The memory of an
optimiser has its weight's layout and goes the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from understudy.errors import ConfigError
from understudy.models import amp
from understudy.nn.autoencoder import Decoder, Encoder, Inter
from understudy.nn.blocks import Downscale, Residual, Upscale
from understudy.nn.segmentation import ConvBlock, UpConvBlock
from understudy.nn.wiring import DfNetwork, LiaeNetwork
from understudy.segmenters.xseg import XsegNetwork

Kind = Literal["kernel", "matrix", "vector"]
Turn = Literal["", "bgr_in", "bgr_out", "shuffle"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One array of theirs and the tensor of ours that holds the same numbers."""

    part: str
    """The part of the network that their file holds: ``encoder``."""
    key: str
    """Name in that file: ``down1/downs_0/conv1/weight:0``."""
    ours: str
    """Name in our ``state_dict``."""
    kind: Kind
    """Which axes are exchanged."""
    turn: Turn = ""
    """Which channels are reordered."""

    def to_ours(self, array: np.ndarray) -> Tensor:
        """Their array as our tensor, float32."""
        return torch.from_numpy(np.array(self._turned(_exchanged(self.kind, array)), np.float32, order="C"))

    def to_theirs(self, tensor: Tensor) -> np.ndarray:
        """Our tensor as their array, float32."""
        array = tensor.detach().cpu().float().numpy()
        return np.ascontiguousarray(_restored(self.kind, self._turned(array, back=True)))

    def their_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of their array for ours."""
        return _restored(self.kind, np.empty(shape, np.uint8)).shape

    def memory_key(self, prefix: str) -> str:
        """Name of an optimiser's memory of this array: ``ms_encoder/down1/…/weight_0:0``."""
        return f"{prefix}_{self.part}/{self.key.replace(':', '_')}:0"

    def _turned(self, array: np.ndarray, *, back: bool = False) -> np.ndarray:
        match self.turn:
            case "bgr_in":
                return array[:, ::-1]
            case "bgr_out":
                return array[::-1]
            case "shuffle":
                rest = array.shape[1:]
                grid = (-1, 4) if back else (4, -1)
                return array.reshape(*grid, *rest).swapaxes(0, 1).reshape(array.shape)
            case _:
                return array


def _exchanged(kind: Kind, array: np.ndarray) -> np.ndarray:
    """Their axes in our order; a transposed convolution's kernel takes the same way."""
    match kind:
        case "kernel":
            return array.transpose(3, 2, 0, 1)
        case "matrix":
            return array.T
        case "vector":
            return array


def _restored(kind: Kind, array: np.ndarray) -> np.ndarray:
    return array.transpose(2, 3, 1, 0) if kind == "kernel" else _exchanged(kind, array)


# ------------------------------------------------------------------------------------------------ networks


def entries_of(network: nn.Module) -> list[Entry]:
    """Every array of a network, in the order of their files.

    Raises:
        ConfigError: DeepFaceLab has no such network.
    """
    match network:
        case DfNetwork():
            _require_plain(network)
            return [
                *_encoder("encoder", "encoder", network.encoder),
                *_inter("inter", "inter", network.inter),
                *_decoder("decoder_src", "decoder_source", network.decoder_source),
                *_decoder("decoder_dst", "decoder_target", network.decoder_target),
            ]
        case LiaeNetwork():
            _require_plain(network)
            return [
                *_encoder("encoder", "encoder", network.encoder),
                *_inter("inter_AB", "inter_AB", network.inter_AB),
                *_inter("inter_B", "inter_B", network.inter_B),
                *_decoder("decoder", "decoder", network.decoder),
            ]
        case amp.AmpNetwork():
            _require_plain(network)
            return [
                *_encoder("encoder", "encoder", network.encoder),
                *_layer("encoder", "dense1", "encoder.squeeze", "matrix"),
                *_layer("inter_src", "dense2", "inter_source.expand", "matrix"),
                *_layer("inter_dst", "dense2", "inter_target.expand", "matrix"),
                *_decoder("decoder", "decoder", network.decoder),
            ]
        case XsegNetwork():
            return list(_xseg("XSeg", network))
        case _:
            raise ConfigError(
                f"DeepFaceLab has no network like {type(network).__name__}; it has df, liae, amp and xseg"
            )


def _require_plain(network: nn.Module) -> None:
    """Parameters that DeepFaceLab's networks lack: group normalisation, shortcuts."""
    foreign = [name for name, _ in network.named_parameters() if ".norm." in name or ".shortcut." in name]
    if foreign:
        raise ConfigError(
            f"DeepFaceLab's models have no {foreign[0].split('.')[-2]} ({foreign[0]} and "
            f"{len(foreign) - 1} more); only df, liae and amp without normalized fit it"
        )


def _encoder(part: str, ours: str, encoder: Encoder | amp.Encoder) -> Iterator[Entry]:
    """An encoder's arrays.

    Args:
        part: name of their file's part.
        ours: name of the module in the whole network.
        encoder: the module itself.
    """
    if len(encoder.down) == 4:
        names = [f"down1/downs_{level}" for level in range(4)]
    else:  # option t
        names = ["down1", "res1", "down2", "down3", "down4", "down5", "res5"]
    for index, (name, block) in enumerate(zip(names, encoder.down, strict=True)):
        yield from _block(part, name, f"{ours}.down.{index}", block, "bgr_in" if index == 0 else "")


def _inter(part: str, ours: str, inter: Inter) -> Iterator[Entry]:
    """An inter's arrays; see ``_encoder``."""
    yield from _layer(part, "dense1", f"{ours}.squeeze", "matrix")
    yield from _layer(part, "dense2", f"{ours}.expand", "matrix")
    if isinstance(inter.up, Upscale):
        yield from _block(part, "upscale1", f"{ours}.up", inter.up)


def _decoder(part: str, ours: str, decoder: Decoder | amp.Decoder) -> Iterator[Entry]:
    """A decoder's arrays; see ``_encoder``."""
    for index, block in enumerate(decoder.face):
        name = f"{'upscale' if isinstance(block, Upscale) else 'res'}{index // 2}"
        yield from _block(part, name, f"{ours}.face.{index}", block)
    for index in range(len(decoder.out)):
        yield from _layer(part, f"out_conv{index or ''}", f"{ours}.out.{index}", "kernel", "bgr_out")
    for index, block in enumerate(decoder.mask):
        yield from _block(part, f"upscalem{index}", f"{ours}.mask.{index}", block)
    yield from _layer(part, "out_convm", f"{ours}.out_mask", "kernel")


def _xseg(part: str, network: XsegNetwork) -> Iterator[Entry]:
    """A mask network's arrays; our names are theirs."""
    for name, block in network.named_children():
        match block:
            case ConvBlock() | UpConvBlock():
                turn: Turn = "bgr_in" if name == "conv01" else ""
                yield from _layer(part, f"{name}/conv", f"{name}.conv", "kernel", turn)
                for vector in ("frn/weight", "frn/bias", "frn/eps", "tlu/tau"):
                    ours = f"{name}.{vector.replace('/', '.')}"
                    yield Entry(part=part, key=f"{name}/{vector}:0", ours=ours, kind="vector")
            case nn.Linear():
                yield from _layer(part, name, name, "matrix")
            case nn.Conv2d():
                yield from _layer(part, name, name, "kernel")
            case _:
                assert not list(block.parameters()), f"{name}: a block that DeepFaceLab does not have"


def _block(part: str, name: str, ours: str, block: nn.Module, turn: Turn = "") -> Iterator[Entry]:
    match block:
        case Downscale():
            yield from _layer(part, f"{name}/conv1", f"{ours}.convolution", "kernel", turn)
        case Upscale():
            yield from _layer(part, f"{name}/conv1", f"{ours}.convolution", "kernel", "shuffle")
        case Residual():
            yield from _layer(part, f"{name}/conv1", f"{ours}.first", "kernel")
            yield from _layer(part, f"{name}/conv2", f"{ours}.second", "kernel")
        case _:
            raise AssertionError(f"{ours}: a block that DeepFaceLab does not have")


def _layer(part: str, name: str, ours: str, kind: Kind, turn: Turn = "") -> Iterator[Entry]:
    """Weight and bias of one layer."""
    yield Entry(part=part, key=f"{name}/weight:0", ours=f"{ours}.weight", kind=kind, turn=turn)
    bias: Turn = "" if turn == "bgr_in" else turn
    yield Entry(part=part, key=f"{name}/bias:0", ours=f"{ours}.bias", kind="vector", turn=bias)


# ------------------------------------------------------------------------------------------------ checking


def misfits(
    entries: list[Entry], parts: Mapping[str, Mapping[str, Any]], shapes: Mapping[str, tuple[int, ...]]
) -> list[str]:
    """What is missing, of another shape or unknown among their arrays; one phrase each, empty for nothing.

    Args:
        entries: the arrays that a network has.
        parts: what their files hold.
        shapes: shapes of our tensors by name.
    """
    wrong: list[str] = []
    known: dict[str, set[str]] = {part: set() for part in parts}
    for entry in entries:
        known.setdefault(entry.part, set()).add(entry.key)
        wanted = entry.their_shape(shapes[entry.ours])
        array = parts.get(entry.part, {}).get(entry.key)
        if array is None:
            wrong.append(f"{entry.part}: {entry.key} is missing")
        elif not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            wrong.append(f"{entry.part}: {entry.key} is no array of floating-point numbers")
        elif array.shape != wanted:
            wrong.append(f"{entry.part}: {entry.key} is {array.shape}, wanted {wanted}")
    for part, arrays in parts.items():
        wrong += [f"{part}: {key} is not known" for key in arrays if key not in known[part]]
    return wrong
