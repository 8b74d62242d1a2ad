"""DeepFaceLab's trained models, read into ours and written back.

A model of its is a handful of files in a folder, ``<name>_<class>_<part>.npy`` (pickled dictionaries in spite
of their ending) and ``<name>_<class>_data.dat`` with its options. That last file also holds faces of both
persons; it is read up to the options and no further, and nothing of it but the options is kept.

DeepFaceLab itself begins a part anew, without a word, when an array of it is missing or has another shape.
Here everything that does not fit is named, and nothing is made up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from understudy import durable
from understudy.contracts import Context
from understudy.errors import ConfigError, DataError, OutputError
from understudy.interop.deepfacelab_layout import Entry, entries_of, misfits
from understudy.interop.deepfacelab_options import KINDS, Kind, Told, options_of, settings_of
from understudy.interop.pickles import read_entries, read_pickle
from understudy.interop.pickling import encode
from understudy.models import ModelSettings
from understudy.models.amp import Amp
from understudy.segmenters.xseg import Xseg
from understudy.weights import WeightStore

_PARTS = ("encoder", "inter", "inter_AB", "inter_B", "inter_src", "inter_dst")
_DECODERS = ("decoder", "decoder_src", "decoder_dst")
_SHOWN = 12
"""Arrays that do not fit, named one by one in a message; the rest are counted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """A model's files."""

    name: str
    """What its owner called it; empty for XSeg."""
    kind: Kind
    """Its class."""
    parts: Mapping[str, Path]
    """File of each part of the network."""
    memory: Path | None
    """File of the optimiser's memory."""
    data: Path | None
    """File of the options."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ForeignModel:
    """A trained model, in our words."""

    kind: Kind
    """Its class in DeepFaceLab."""
    settings: ModelSettings | Xseg
    """The same model of ours."""
    step: int
    """Steps it was trained."""
    weights: Mapping[str, Tensor]
    """For ``load_state_dict``."""
    memory: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """For ``optim.Stepper.load``; empty when there is none."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Its options as saved; no faces."""


# ------------------------------------------------------------------------------------------------ finding


def find_models(folder: Path) -> list[Found]:
    """The models in a folder, by name.

    Raises:
        DataError: no folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: wanted the folder of DeepFaceLab's model files, there is none")
    groups: dict[tuple[str, Kind], dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        if match := re.fullmatch(r"(?:(.+)_)?(SAEHD|Quick96|AMP)_(.+)\.(npy|dat)", path.name):
            groups.setdefault((match[1] or "", cast("Kind", match[2])), {})[match[3]] = path
        elif match := re.fullmatch(r"XSeg_(256|256_opt|data)\.(npy|dat)", path.name):
            part = {"256": "XSeg", "256_opt": "src_dst_opt", "data": "data"}[match[1]]
            groups.setdefault(("", "XSeg"), {})[part] = path
    return [
        Found(
            name=name,
            kind=kind,
            parts={part: files[part] for part in (*_PARTS, *_DECODERS, "XSeg") if part in files},
            memory=files.get("src_dst_opt"),
            data=files.get("data"),
        )
        for (name, kind), files in groups.items()
        if any(part in files for part in (*_PARTS, *_DECODERS, "XSeg"))
    ]


def choose_model(folder: Path, name: str | None = None) -> Found:
    """The one model of a folder, or the one with that name.

    Args:
        folder: where its files are.
        name: ``<name>_<class>`` or a part of it that only one has; None when there is only one.

    Raises:
        DataError: none, or several; they are listed.
    """
    found = find_models(folder)
    full = {f"{one.name}_{one.kind}".lstrip("_"): one for one in found}
    chosen = {word: one for word, one in full.items() if name is None or name in (word, one.name)}
    if len(chosen) == 1:
        return next(iter(chosen.values()))
    wanted = "one" if name is None else repr(name)
    listed = ", ".join(full) or f"none (files are named like name_{KINDS[0]}_encoder.npy)"
    hint = "; say which: --name" if chosen else ""
    raise DataError(f"{folder}: wanted {wanted} model of DeepFaceLab, there are: {listed}{hint}")


# ------------------------------------------------------------------------------------------------ reading


def read_model(found: Found, told: Told | None = None) -> ForeignModel:
    """A model's numbers and settings.

    Args:
        found: its files.
        told: what the user says where the options were lost.

    Raises:
        DataError: a file that is torn or holds anything but arrays, or arrays that do not fit; all are named.
        ConfigError: options that no model has.
    """
    about: dict[str, Any] = {}
    if found.data is not None:
        about = read_entries(found.data, ("iter", "options"))
    options = about.get("options", {})
    if not isinstance(options, dict):
        raise DataError(f"{found.data}: options are a {type(options).__name__}, wanted a dict")
    parts = {part: _read_part(path) for part, path in found.parts.items()}
    settings = settings_of(found.kind, cast("dict[str, Any]", options), parts, told or Told())
    network = _hollow(settings)
    entries = entries_of(network)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    if wrong := misfits(entries, parts, shapes):
        shown = "; ".join(wrong[:_SHOWN]) + (f"; and {len(wrong) - _SHOWN} more" * (len(wrong) > _SHOWN))
        raise DataError(
            f"{len(wrong)} arrays of this {found.kind} model do not fit {_described(settings)}: {shown}. "
            "Nothing was read; bring the files back from a backup, or say the right --archi"
        )
    weights = {entry.ours: entry.to_ours(parts[entry.part][entry.key]) for entry in entries}
    return ForeignModel(
        kind=found.kind,
        settings=settings,
        step=int(about.get("iter") or 0),
        weights={name: weights[name] for name in shapes},
        memory=_read_memory(found.memory, entries, shapes) if found.memory else {},
        options=cast("dict[str, Any]", options),
    )


def _read_part(path: Path) -> dict[str, np.ndarray]:
    arrays = read_pickle(path)
    if not isinstance(arrays, dict):
        raise DataError(f"{path}: wanted a dict of arrays, got {type(arrays).__name__}")
    return cast("dict[str, np.ndarray]", arrays)


def _read_memory(
    path: Path, entries: list[Entry], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """An optimiser's memory, of those weights that it knows.

    Raises:
        DataError: an array has another shape than its weight.
    """
    arrays = _read_part(path)
    steps = float(np.asarray(arrays.get("iters:0", 0)).item())
    kinds = [("ms", "mean"), ("vs", "surprise")] if any(k.startswith("ms_") for k in arrays) else []
    kinds = kinds or [("acc", "square_avg")]
    memory: dict[str, Tensor] = {}
    for entry in entries:
        held = {word: arrays.get(entry.memory_key(prefix)) for prefix, word in kinds}
        if any(array is None for array in held.values()):
            continue  # AMP's optimiser knows no inter, and LIAE's may not know inter_AB
        for word, array in held.items():
            wanted = entry.their_shape(shapes[entry.ours])
            if not isinstance(array, np.ndarray) or array.shape != wanted:
                raise DataError(
                    f"{path}: the optimiser's memory of {entry.part}/{entry.key} is "
                    f"{getattr(array, 'shape', 'none')}, wanted {wanted}; move the file away to do without"
                )
            memory[f"{entry.ours}/{word}"] = entry.to_ours(array)
        memory[f"{entry.ours}/step"] = torch.tensor(steps)
    return memory


def _hollow(settings: ModelSettings | Xseg) -> nn.Module:
    """The network without memory for its numbers: names and shapes."""
    with torch.device("meta"):
        if isinstance(settings, Xseg):
            return settings.network()
        network = settings.build(Context(device=torch.device("meta"), weights=WeightStore()))
    assert isinstance(network, nn.Module)
    return network


def _described(settings: ModelSettings | Xseg) -> str:
    options = options_of(settings)
    sizes = ", ".join(f"{name} {options[name]}" for name in options if name.endswith(("dims", "resolution")))
    return f"{options.get('archi', settings.name)} ({sizes})"


# ------------------------------------------------------------------------------------------------ writing


def write_model(
    folder: Path,
    settings: ModelSettings | Xseg,
    weights: Mapping[str, Tensor],
    step: int,
    name: str = "new",
    finish: Callable[[list[Path]], None] | None = None,
) -> list[Path]:
    """A model's files, as DeepFaceLab reads them; all or none.

    The optimiser's memory is not among them: DeepFaceLab begins with an empty one.

    Args:
        folder: made; must not exist.
        settings: df, liae, amp or xseg.
        weights: ``state_dict`` of the network.
        step: steps it was trained.
        name: what DeepFaceLab shows in its list of models.
        finish: signs the files while the folder has a temporary name.

    Raises:
        ConfigError: DeepFaceLab has no such model.
        OutputError: the folder exists, or cannot be written.
    """
    options = options_of(settings)
    if not re.fullmatch(r"[^\W_][\w .-]*", name):
        raise ConfigError(f"name: wanted letters and digits, got {name!r}")
    if isinstance(settings, Xseg) and (settings.resolution, settings.base) != (256, 32):
        raise ConfigError(
            "DeepFaceLab's XSeg has 256 pixels and base 32, this one "
            f"{settings.resolution} and {settings.base}"
        )
    if folder.exists():
        raise OutputError(
            f"{folder}: exists already; name a new folder and copy its files where you want them"
        )
    parts: dict[str, dict[str, np.ndarray]] = {}
    for entry in entries_of(_hollow(settings)):
        parts.setdefault(entry.part, {})[entry.key] = entry.to_theirs(weights[entry.ours])
    kind = "AMP" if isinstance(settings, Amp) else "SAEHD"
    stem = "XSeg" if isinstance(settings, Xseg) else f"{name}_{kind}"
    # with iter 0 DeepFaceLab would not look at the options
    data = {"iter": max(1, step), "options": options, "loss_history": [], "sample_for_preview": None}
    contents = {_file(stem, part): _pieces(arrays) for part, arrays in parts.items()}
    contents[f"{stem}_data.dat"] = _pieces({**data, "choosed_gpu_indexes": None})
    with durable.explained(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with durable.new_folder(folder, size=sum(tensor.nbytes for tensor in weights.values())) as part:
        for file, pieces in contents.items():
            durable.fill(part / file, pieces)
        if finish is not None:
            finish([part / file for file in contents])
    return [folder / file for file in contents]


def _file(stem: str, part: str) -> str:
    return f"{stem}_256.npy" if part == "XSeg" else f"{stem}_{part}.npy"


def _pieces(value: Mapping[str, Any]) -> Iterator[bytes | memoryview]:
    yield from encode(value)
