"""A swapper or a mask network given to other programs: which format, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from understudy import config
from understudy.errors import CheckpointError, ConfigError, PluginError
from understudy.events import Event, StageDone, StageStarted
from understudy.interop.deepfacelab import write_model
from understudy.interop.onnx import Precision, export_onnx
from understudy.models import MODELS
from understudy.pipelines.swapper import settings_without_name
from understudy.segmenters.xseg import Xseg
from understudy.training.rundir import load_swapper_files

Format = Literal["auto", "onnx", "dfm", "deepfacelab"]


def export(
    place: Path, output: Path, *, form: Format = "auto", precision: Precision = "fp32", name: str = "new"
) -> Iterator[Event]:
    """Writes a swapper in another program's format.

    Args:
        place: a run, its ``swapper`` folder, or the weights in it.
        output: ``FILE.onnx``, ``FILE.dfm``, or a new folder for DeepFaceLab's files.
        form: the format; auto: by the ending of the output.
        precision: of an ONNX file's arithmetic.
        name: what DeepFaceLab calls the model.

    Raises:
        ConfigError: an ending that is none of these, or a model that the other program lacks.
        CheckpointError: no swapper, or a damaged one.
        OutputError: the place cannot be written.
    """
    chosen = _format_of(output) if form == "auto" else form
    if chosen == "deepfacelab":
        yield from _to_deepfacelab(place, output, name)
    else:
        yield from export_onnx(place, output, layout=chosen, precision=precision)


def _format_of(output: Path) -> Literal["onnx", "dfm", "deepfacelab"]:
    match output.suffix.lower():
        case ".onnx":
            return "onnx"
        case ".dfm":
            return "dfm"
        case "":
            return "deepfacelab"
        case other:
            raise ConfigError(
                f"output: wanted FILE.onnx, FILE.dfm or a folder, got the ending {other!r}; or say --format"
            )


def _to_deepfacelab(place: Path, output: Path, name: str) -> Iterator[Event]:
    folder = place / "swapper" if (place / "swapper").is_dir() else place
    files = load_swapper_files(folder)
    plain = settings_without_name(files.settings)
    yield StageStarted(stage="export", detail=f"{files.model} for DeepFaceLab", unit="files")
    try:
        base = Xseg() if files.model == Xseg.name else MODELS[files.model]()
        settings = config.merge(base, plain)
    except (ConfigError, PluginError) as error:
        raise CheckpointError(f"{folder}: of a model that cannot be built here ({error})") from None
    written = write_model(output, settings, files.weights, files.step, name)
    yield StageDone(stage="export", summary={"folder": str(output), "files": len(written)})
