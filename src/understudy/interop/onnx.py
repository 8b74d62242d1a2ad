"""A swapper as one ONNX file that runs without Python and torch, compared with torch before it is written.

Two layouts. ``onnx`` is ours: RGB in [0, 1], channels first, any number of faces. ``dfm`` is that of
DeepFaceLab's exports, which DeepFaceLive and others load: BGR, channels last, the names ``in_face:0``,
``morph_value:0`` (AMP), ``out_face_mask:0`` (of the target), ``out_celeb_face:0`` and
``out_celeb_face_mask:0``. DeepFaceLab writes operator set 12; torch's exporter knows none below 18, so our
dfm files want ONNX Runtime 1.14 (2023) or newer.

Needs the packages of ``pip install understudy[onnx]``.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import logging
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from understudy.errors import ConfigError, OutputError, UnderstudyError
from understudy.events import Event, Saved, StageDone, StageStarted
from understudy.interop.card import Card, Finish, describe, write_with_card
from understudy.learning import SwapModel
from understudy.models.amp import Amp, AmpNetwork
from understudy.models.original import OriginalNetwork
from understudy.nn.wiring import DfNetwork, LiaeNetwork
from understudy.pipelines.setup import make_context
from understudy.pipelines.swapper import Swapper

OPSET = 18
"""The oldest operator set that torch's exporter writes."""
IR_VERSION = 8
"""Version of the file format: the oldest that goes with the operator set."""
LARGEST = 2**31 - 2**20
"""Bytes that one ONNX file may have."""
Layout = Literal["onnx", "dfm"]
Precision = Literal["fp32", "fp16"]
BOUND: dict[Precision, float] = {"fp32": 1e-4, "fp16": 2e-2}
"""Largest difference of a colour from torch in single precision, of 1, above which no file is given away."""


class _Ours(nn.Module):
    """RGB, channels first; the arithmetic may be half precision, what goes in and out is single."""

    inputs = ("face",)
    outputs = ("swap", "mask")

    def __init__(self, model: nn.Module, half: bool) -> None:
        super().__init__()
        self.model, self.half_precision = model, half

    def forward(self, face: Tensor) -> tuple[Tensor, ...]:
        swap, mask = self.model.swap(_narrow(face, self.half_precision))  # pyright: ignore[reportCallIssue]  # a SwapModel
        return swap.float().clamp(0, 1), mask.float().clamp(0, 1)


class _Dfm(nn.Module):
    """BGR, channels last, and the target's own mask first."""

    inputs = ("in_face:0",)
    outputs = ("out_face_mask:0", "out_celeb_face:0", "out_celeb_face_mask:0")

    def __init__(self, model: nn.Module, half: bool) -> None:
        super().__init__()
        self.model, self.half_precision = model, half

    def forward(self, face: Tensor) -> tuple[Tensor, ...]:
        picture = _narrow(face.permute(0, 3, 1, 2).flip(1), self.half_precision)
        match self.model:
            case DfNetwork() as df:
                code = df.inter(df.encoder(picture))
                return _turned(df.decoder_target(code)[1], *df.decoder_source(code))
            case LiaeNetwork() as liae:
                flat = liae.encoder(picture)
                both, own = liae.inter_AB(flat), liae.inter_B(flat)
                target = liae.decoder(torch.cat([own, both], dim=1))
                return _turned(target[1], *liae.decoder(torch.cat([both, both], dim=1)))
            case OriginalNetwork() as original:
                code = original.encoder(picture)
                return _turned(original.decoder_target(code)[1], *original.decoder_source(code))
            case model:  # the swap's mask stands for the target's too
                swap, mask = model.swap(picture)  # pyright: ignore[reportCallIssue]  # a SwapModel
                return _turned(mask, swap, mask)


class _AmpDfm(nn.Module):
    """The same for AMP, with the morph as an input."""

    inputs = ("in_face:0", "morph_value:0")
    outputs = _Dfm.outputs

    def __init__(self, model: AmpNetwork, half: bool) -> None:
        super().__init__()
        self.model, self.half_precision = model, half

    def forward(self, face: Tensor, morph: Tensor) -> tuple[Tensor, ...]:
        code = self.model.encoder(_narrow(face.permute(0, 3, 1, 2).flip(1), self.half_precision))
        source, target = self.model.inter_source(code), self.model.inter_target(code)
        order = torch.arange(source.shape[1], device=face.device, dtype=torch.float32)
        from_source = order < torch.floor(morph * source.shape[1])
        mixed = torch.where(from_source[None, :, None, None], source, target)
        swap, swap_mask = self.model.decoder(mixed)
        return _turned(self.model.decoder(target)[1], swap, swap_mask)


def _narrow(picture: Tensor, half: bool) -> Tensor:
    return picture.half() if half else picture


def _turned(mask: Tensor, swap: Tensor, swap_mask: Tensor) -> tuple[Tensor, ...]:
    """RGB, channels first, as BGR, channels last, in the order of a dfm; models draw in [0, 1]."""
    shown = (mask, swap.flip(1), swap_mask)
    return tuple(picture.float().permute(0, 2, 3, 1) for picture in shown)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Export:
    """What is exported, and what it is shown."""

    module: _Ours | _Dfm | _AmpDfm
    example: tuple[Tensor, ...]
    model: SwapModel


def export_onnx(
    place: Path,
    output: Path,
    *,
    layout: Layout = "onnx",
    precision: Precision = "fp32",
    finish: Finish | None = None,
) -> Iterator[Event]:
    """Writes ``output`` and, beside it, its model card, see ``card.card_of``.

    Args:
        place: a run, its ``swapper`` folder, or the weights in it.
        output: the file to be; replaced if it exists.
        layout: see the module.
        precision: of the arithmetic; what goes in and out is single precision in either case.
        finish: signs file and card before they get their names; None: they are not signed.

    Raises:
        ConfigError: a package is missing.
        CheckpointError: no swapper, or a damaged one.
        UnderstudyError: ONNX Runtime draws something else than torch; nothing is written.
        OutputError: the file cannot be written, or would be too large.
    """
    onnx, runtime = _require("onnx", "onnxruntime", "onnxscript")[:2]
    folder = place / "swapper" if (place / "swapper").is_dir() else place
    swapper = Swapper.load(folder, make_context("cpu"))
    size = sum(parameter.nbytes for parameter in _module(swapper).parameters())
    if size // (2 if precision == "fp16" else 1) > LARGEST:
        raise OutputError(
            f"{output}: {size / 1e9:.1f} GB of weights; one ONNX file holds 2 GB, try --precision fp16"
        )
    yield StageStarted(stage="export", detail=f"{swapper.settings.name} as {layout}, {precision}")
    exported = _prepare(swapper, layout, half=precision == "fp16")
    proto = _translate(exported)
    if not proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise UnderstudyError(
            f"{swapper.settings.name} cannot be exported for any number of faces, nothing was written; this "
            "is a mistake of understudy's, please report it"
        )
    card = _card(folder, swapper, exported, layout, precision, output.name)
    proto.producer_name, proto.ir_version = "understudy", IR_VERSION
    proto.doc_string = card.title
    onnx.helper.set_model_props(proto, card.metadata)
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString()
    difference = _difference(runtime, data, exported, swapper)
    if not difference <= BOUND[precision]:
        raise UnderstudyError(
            f"ONNX Runtime draws this swapper up to {difference:.2g} beside torch, at most "
            f"{BOUND[precision]:g} is let pass; nothing was written. Try --precision fp32"
        )
    for path in write_with_card(output, [data], len(data), card, finish):
        yield Saved(path=path)
    yield StageDone(
        stage="export",
        summary={"file": str(output), "megabytes": round(len(data) / 1e6, 1), "difference": difference},
    )


def _require(*names: str) -> list[Any]:
    """The packages of the extra ``onnx``. Raises ``ConfigError`` that says how to get them."""
    modules: list[Any] = []
    for name in names:
        try:
            modules.append(importlib.import_module(name))
        except ImportError as error:
            raise ConfigError(
                f"exporting to ONNX needs {name}, which is not installed: pip install 'understudy[onnx]'"
            ) from error
    return modules


def _module(swapper: Swapper) -> nn.Module:
    assert isinstance(swapper.model, nn.Module)
    return swapper.model


def _prepare(swapper: Swapper, layout: Layout, *, half: bool) -> _Export:
    """The network in the shape of the file, and two faces for it."""
    model = _module(swapper)
    if half:
        model = copy.deepcopy(model).half()
    model = model.to(memory_format=torch.contiguous_format)  # pyright: ignore  # its stub lacks this form
    side = swapper.resolution
    random = torch.Generator().manual_seed(0)
    face = torch.rand(2, 3, side, side, generator=random)
    if layout == "onnx":
        return _Export(module=_Ours(model, half).eval(), example=(face,), model=swapper.model)
    if swapper.output_resolution != side:
        raise ConfigError(
            f"a dfm gives faces of the size that it takes; this swapper takes {side} pixels and "
            f"gives {swapper.output_resolution}"
        )
    face = face.permute(0, 2, 3, 1).contiguous()
    if isinstance(model, AmpNetwork):
        morph = torch.tensor([0.75])
        return _Export(module=_AmpDfm(model, half).eval(), example=(face, morph), model=swapper.model)
    return _Export(module=_Dfm(model, half).eval(), example=(face,), model=swapper.model)


def _translate(exported: _Export) -> Any:  # noqa: ANN401  # a protobuf message without types
    """The network as an ONNX graph in which the number of faces is free."""
    module = exported.module
    free = {0: torch.export.Dim("faces")}
    shapes = (free,) if len(module.inputs) == 1 else (free, None)
    with _quiet(), torch.no_grad():
        graph = torch.export.export(module, exported.example, dynamic_shapes=shapes)
        attention: Any = torch.ops.aten.scaled_dot_product_attention.default
        graph = graph.run_decompositions({attention: _attend})
        program = torch.onnx.export(
            graph,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(module.inputs),
            output_names=list(module.outputs),
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _attend(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
    """Attention of one head in words that the exporter knows; it has none for pictures without heads."""
    return torch.softmax(query @ key.transpose(-2, -1) * scale, dim=-1) @ value


@contextlib.contextmanager
def _quiet() -> Generator[None, None, None]:
    """The exporter says on the way what it lacks (torchvision) and what it will drop one day."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        log.setLevel(level)


def _difference(runtime: Any, data: bytes, exported: _Export, swapper: Swapper) -> float:  # noqa: ANN401  # a module
    """Largest difference of any colour or mask from torch in single precision, for one face and for three."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    reference = type(exported.module)(_module(swapper), False).eval()  # pyright: ignore[reportArgumentType]
    worst = 0.0
    for count in (1, 3):
        faces = torch.cat([exported.example[0]] * 2)[:count].roll(count, 1)
        inputs = (faces, *exported.example[1:])
        with torch.no_grad():
            wanted = reference(*inputs)
        names = exported.module.inputs
        given = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        for got, expected in zip(session.run(None, given), wanted, strict=True):
            worst = max(worst, _largest(got, expected))
    return worst


def _largest(got: Float[np.ndarray, "b ..."], expected: Float[Tensor, "b ..."]) -> float:
    difference = np.abs(got - expected.numpy()).max()
    return float(difference) if np.isfinite(difference) else float("inf")


def _card(
    folder: Path, swapper: Swapper, exported: _Export, layout: Layout, precision: Precision, name: str
) -> Card:
    r, out = swapper.resolution, swapper.output_resolution
    if layout == "onnx":
        inputs = f"face (n, 3, {r}, {r}) float32, RGB in [0, 1]"
        outputs = f"swap (n, 3, {out}, {out}) float32, RGB in [0, 1]; mask (n, 1, {out}, {out}) in [0, 1]"
        call = "session.run(None, {'face': faces})  # faces: (n, 3, r, r) float32, RGB in [0, 1]"
    else:
        inputs = f"in_face:0 (n, {r}, {r}, 3) float32, BGR in [0, 1]"
        if isinstance(swapper.settings, Amp):
            inputs += "; morph_value:0 (1) float32 in [0, 1]"
        outputs = (
            f"out_face_mask:0 (n, {r}, {r}, 1), of the target; out_celeb_face:0 (n, {r}, {r}, 3), BGR; "
            f"out_celeb_face_mask:0 (n, {r}, {r}, 1)"
        )
        call = "session.run(None, {'in_face:0': faces})  # faces: (n, r, r, 3) float32, BGR in [0, 1]"
    facts = describe(
        folder,
        swapper.settings,
        swapper.step,
        inputs=inputs,
        outputs=outputs,
        more={"layout": layout, "precision": precision, "opset": str(OPSET)},
    )
    results = ", ".join(word.partition(":")[0] for word in exported.module.outputs)
    example = f"import onnxruntime\n\nsession = onnxruntime.InferenceSession({name!r})\n{results} = {call}\n"
    return Card(
        title=f"Face-swapping model ({swapper.settings.name}, {r} pixels)", facts=facts, example=example
    )
