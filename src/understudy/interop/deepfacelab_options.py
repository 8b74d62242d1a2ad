"""DeepFaceLab's options and our settings, both ways.

What a model is follows from its options, or, where these were lost, from the shapes of its arrays. Two things
leave no trace in the arrays, the letters u and c of the architecture and how much of the head a crop shows:
they are asked for, never guessed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np

from understudy import config
from understudy.contracts import CropMode
from understudy.errors import ConfigError, DataError
from understudy.models import MODELS, ModelSettings
from understudy.models.amp import Amp
from understudy.models.df import Df
from understudy.models.liae import Liae
from understudy.nn.autoencoder import OPTIONS
from understudy.segmenters.xseg import Xseg
from understudy.training.optim import OptimizerSettings

Kind = Literal["SAEHD", "Quick96", "AMP", "XSeg"]
"""Classes of models whose files are known."""
KINDS: tuple[Kind, ...] = get_args(Kind)
CROPS: dict[str, CropMode] = {"h": "half", "mf": "mid_full", "f": "full", "wf": "whole", "head": "head"}
"""DeepFaceLab's words for how much of the head a crop shows."""
_SIZES = ("resolution", "e_dims", "ae_dims", "d_dims", "d_mask_dims")

TRAINING: dict[str, Any] = {
    "models_opt_on_gpu": True,
    "adabelief": True,
    "lr_dropout": "n",
    "clipgrad": False,
    "autobackup_hour": 0,
    "write_preview_history": False,
    "target_iter": 0,
    "random_src_flip": False,
    "random_dst_flip": True,
    "random_warp": True,
    "random_hsv_power": 0.0,
    "masked_training": True,
    "eyes_mouth_prio": False,
    "uniform_yaw": False,
    "blur_out_mask": False,
    "gan_power": 0.0,
    "gan_dims": 16,
    "true_face_power": 0.0,
    "face_style_power": 0.0,
    "bg_style_power": 0.0,
    "ct_mode": "none",
    "pretrain": False,
}
"""DeepFaceLab's answers to its own questions about training."""

Arrays = Mapping[str, np.ndarray]
Parts = Mapping[str, Arrays]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the user says about a model whose options were lost."""

    archi: str | None = None
    """Architecture: df-ud, liae-udt."""
    face_type: str | None = None
    """How much of the head a crop shows: h, mf, f, wf or head."""


def parse_archi(text: str) -> tuple[Literal["df", "liae"], str]:
    """``liae-udt``, and the older ``dfud`` and ``dfuhd``, as architecture and options in our order.

    Raises:
        DataError: none of these.
    """
    match = re.fullmatch(r"(df|liae)(?:(uhd)|-?([udtc]*))", text.strip().lower())
    if not match or len(set(match[3] or "")) != len(match[3] or ""):
        old = "; models with hd are older than June 2020" if text.endswith("hd") else ""
        raise DataError(f"archi: wanted df or liae with letters of -{OPTIONS}, got {text!r}{old}")
    letters = "u" if match[2] else match[3]
    return cast("Literal['df', 'liae']", match[1]), "".join(x for x in OPTIONS if x in letters)


def settings_of(kind: Kind, options: Mapping[str, Any], parts: Parts, told: Told) -> ModelSettings | Xseg:
    """The model that a file set describes.

    Args:
        kind: its class.
        options: as saved, plain values; may be empty.
        parts: its arrays by part, for what the options do not say.
        told: what the user says, for what neither says.

    Raises:
        DataError: something is not said anywhere.
        ConfigError: sizes that no model has.
    """
    try:
        match kind:
            case "SAEHD":
                return _saehd(options, parts, told)
            case "Quick96":
                return config.merge(Df(), {**_chosen(shapes_say(parts)), "options": "ud", "crop": CROPS["f"]})
            case "AMP":
                return _amp(options, parts, told)
            case "XSeg":
                base = int(_array(parts, "XSeg", "conv01/conv/weight:0").shape[-1])
                code = int(_array(parts, "XSeg", "dense1/weight:0").shape[-1])
                side = math.isqrt(_array(parts, "XSeg", "dense1/weight:0").shape[0] // (8 * base))
                return Xseg(resolution=64 * side, base=base, code=code, crop=_crop(options, told))
    except (TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise DataError(f"arrays or options of no {kind} model ({error})") from None


def _saehd(options: Mapping[str, Any], parts: Parts, told: Told) -> ModelSettings:
    archi = options.get("archi") or told.archi
    seen = "liae" if "inter_AB" in parts else "df"
    sizes = _said(options) or shapes_say(parts)
    if not isinstance(archi, str):
        letters = "".join(x for x in OPTIONS if sizes.get(x))
        raise DataError(
            "the model's options were lost, and its arrays do not show whether it has u and c; they look "
            f"like {seen}-{letters}: say what it was, for example --archi {seen}-u{letters}"
        )
    name, letters = parse_archi(archi)
    changes = {**_chosen(sizes), "options": letters, "crop": _crop(options, told)}
    return config.merge(MODELS[name](), changes)


def _amp(options: Mapping[str, Any], parts: Parts, told: Told) -> ModelSettings:
    sizes = _said(options, "inter_dims") or shapes_say(parts)
    more: dict[str, Any] = {"inter_dims": int(sizes["inter_dims"])}
    if "morph_factor" in options:
        more["morph_factor"] = float(options["morph_factor"])
    return config.merge(Amp(), {**_chosen(sizes), **more, "crop": _crop(options, told)})


def _said(options: Mapping[str, Any], *more: str) -> dict[str, Any]:
    """The sizes that options say; empty when there are none. Raises ``DataError`` for some but not all."""
    wanted = [*_SIZES, *more]
    missing = [name for name in wanted if name not in options]
    if len(missing) == len(wanted):
        return {}
    if missing:
        raise DataError(f"the model's options lack {', '.join(missing)}")
    return {name: int(options[name]) for name in wanted}


def _chosen(sizes: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(sizes[name]) for name in _SIZES}


def _crop(options: Mapping[str, Any], told: Told) -> CropMode:
    word = options.get("face_type") or told.face_type
    if word is None:
        raise DataError(
            "the model's options were lost, and its arrays do not show how much of the head it was trained "
            f"on; say so: --face-type with one of {', '.join(CROPS)}"
        )
    if word not in CROPS:
        raise DataError(f"face_type: wanted one of {', '.join(CROPS)}, got {word!r}")
    return CROPS[word]


def shapes_say(parts: Parts) -> dict[str, Any]:
    """Sizes of a swap model, and its letters t and d as True or False, from the shapes of its arrays.

    Raises:
        DataError: an array that is needed for it is missing.
    """
    deep = "down1/conv1/weight:0" in parts.get("encoder", {})
    first = "down1/conv1/weight:0" if deep else "down1/downs_0/conv1/weight:0"
    decoder = "decoder" if "decoder" in parts else "decoder_src"
    e_dims = _array(parts, "encoder", first).shape[-1]
    dense = next((p for p in ("inter", "inter_AB") if p in parts), "encoder")  # AMP's stands in the encoder
    inputs, ae_dims = _array(parts, dense, "dense1/weight:0").shape
    sizes: dict[str, Any] = {
        "resolution": math.isqrt(inputs // (8 * e_dims)) * (32 if deep else 16),
        "e_dims": e_dims,
        "ae_dims": ae_dims,
        "d_dims": _array(parts, decoder, "upscale0/conv1/weight:0").shape[-1] // 32,
        "d_mask_dims": _array(parts, decoder, "upscalem0/conv1/weight:0").shape[-1] // 32,
        "t": deep,
        "d": "out_conv1/weight:0" in parts[decoder],
    }
    if "inter_src" in parts:
        outputs = _array(parts, "inter_src", "dense2/weight:0").shape[-1]
        sizes["inter_dims"] = outputs // (sizes["resolution"] // 32) ** 2
    return sizes


def _array(parts: Parts, part: str, key: str) -> np.ndarray:
    array: Any = parts.get(part, {}).get(key)
    if not isinstance(array, np.ndarray):
        raise DataError(f"{part}: {key} is missing; without it the model's sizes are not known")
    return array


def optimizer_of(kind: Kind, options: Mapping[str, Any]) -> OptimizerSettings:
    """The optimiser that a model was trained with, at its constant rate."""
    dropped = options.get("lr_dropout", kind in ("Quick96", "XSeg")) in (True, "y", "cpu")
    belief = kind == "AMP" or (kind == "SAEHD" and bool(options.get("adabelief", True)))
    return OptimizerSettings(
        name="adabelief" if belief else "rmsprop",
        rate={"SAEHD": 5e-5, "AMP": 5e-5, "Quick96": 2e-4, "XSeg": 1e-4}[kind],
        warm_up=0,
        schedule="constant",
        clip=1.0 if options.get("clipgrad") else None,
        share=0.3 if dropped else 1.0,
        bias_correction=False,
    )


def options_of(settings: ModelSettings | Xseg, batch: int = 8) -> dict[str, Any]:
    """What DeepFaceLab asks at the start, answered: a model's options, those of training at their defaults.

    Raises:
        ConfigError: it has no such model.
    """
    face_type = next(word for word, mode in CROPS.items() if mode == settings.crop)
    if isinstance(settings, Xseg):
        return {"face_type": face_type, "batch_size": batch, "pretrain": False}
    options: dict[str, Any] = {"face_type": face_type}
    match settings:
        case Df() | Liae():
            letters = "".join(x for x in OPTIONS if x in settings.options)
            options["archi"] = f"{settings.name}-{letters}" if letters else settings.name
        case Amp(options="udtc"):
            raise ConfigError("options: DeepFaceLab's AMP has no c; this one was trained with it")
        case Amp():
            options |= {"inter_dims": settings.inter_dims, "morph_factor": settings.morph_factor}
        case _:
            raise ConfigError(f"DeepFaceLab has no model like {settings.name}; it has df, liae, amp and xseg")
    if settings.coverage != 1.0:
        raise ConfigError(
            f"coverage: this model sees {settings.coverage:g} of a crop; DeepFaceLab shows all of it, so the "
            "model would draw nonsense there; train one with --model.coverage 1, or export FILE.onnx"
        )
    options |= {name: getattr(settings, name) for name in _SIZES}
    return options | TRAINING | {"batch_size": batch, "gan_patch_size": settings.resolution // 8}
