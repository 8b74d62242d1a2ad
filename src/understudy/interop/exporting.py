"""A swapper or a mask network given to other programs: which format, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from understudy import config, durable
from understudy.errors import CheckpointError, ConfigError, OutputError, PluginError
from understudy.events import Event, Saved, StageDone, StageStarted
from understudy.interop.card import HEADING, Card, card_of, describe, write_with_card
from understudy.interop.deepfacelab import write_model
from understudy.interop.export_rights import ExportRights
from understudy.interop.onnx import Precision, export_onnx
from understudy.models import MODELS
from understudy.pipelines.swapper import settings_without_name, weights_of
from understudy.provenance.signer import SigningSettings
from understudy.segmenters.xseg import Xseg
from understudy.training.rundir import load_swapper_files

Format = Literal["auto", "onnx", "dfm", "safetensors", "deepfacelab"]


def export(
    place: Path,
    output: Path,
    *,
    form: Format = "auto",
    precision: Precision = "fp32",
    name: str = "new",
    sign: SigningSettings | None = None,
) -> Iterator[Event]:
    """Writes a swapper in another program's format, with a model card and a signed manifest beside it.

    Args:
        place: a run, its ``swapper`` folder, or the weights in it.
        output: ``FILE.onnx``, ``FILE.dfm``, ``FILE.safetensors``, or a new folder for DeepFaceLab's files.
        form: the format; auto: by the ending of the output.
        precision: of an ONNX file's arithmetic.
        name: what DeepFaceLab calls the model.
        sign: with which key it is signed; None: this installation's own.

    Raises:
        ConsentError: a consent record was withdrawn, has ended, or does not permit giving the model on.
        ConfigError: an ending that is none of these, or a model that the other program lacks.
        CheckpointError: no swapper, or a damaged one.
        OutputError: the place cannot be written, or holds what this must not replace; what was there is as
            it was.
    """
    chosen = _format_of(output) if form == "auto" else form
    weights = weights_of(place / "swapper" if (place / "swapper").is_dir() else place)
    if not weights.is_file() or weights.suffix != ".safetensors":
        found = "there is no such file or folder" if not place.exists() else "it is none of these"
        raise CheckpointError(
            f"{place}: wanted a run, the swapper folder in it, or its weights.safetensors; {found}"
        )
    if chosen != "deepfacelab":
        _require_free(output, weights)
    rights = ExportRights(weights, output, sign)
    durable.sweep(output.resolve().parent)  # what calls left there that were killed
    yield from rights.begin()
    if chosen == "deepfacelab":
        yield from _to_deepfacelab(place, output, name, rights)
    elif chosen == "safetensors":
        yield from _to_safetensors(weights, output, rights)
    else:
        yield from export_onnx(place, output, layout=chosen, precision=precision, finish=rights.sign)
    yield from rights.end()


def _require_free(output: Path, weights: Path) -> None:
    """Refuses a name that would cost the user something else."""
    if output.is_dir():
        raise OutputError(f"{output}: is a folder; wanted the name of a file to write, or name another")
    if output.resolve() == weights.resolve():
        raise OutputError(f"{output}: is the model itself; name another file")
    page = card_of(output)
    if page.is_dir():
        raise OutputError(f"{page}: is a folder; the card is to have that name, so name another file")
    if page.is_file() and not page.read_bytes().startswith(HEADING.encode()):
        raise OutputError(
            f"{page}: is there and is no model card, and would be replaced by one; name another file"
        )


def _format_of(output: Path) -> Literal["onnx", "dfm", "safetensors", "deepfacelab"]:
    match output.suffix.lower():
        case ".safetensors":
            return "safetensors"
        case ".onnx":
            return "onnx"
        case ".dfm":
            return "dfm"
        case "":
            return "deepfacelab"
        case other:
            raise ConfigError(
                "output: wanted FILE.onnx, FILE.dfm, FILE.safetensors or a folder, got the ending "
                f"{other!r}; or say --format"
            )


def _to_safetensors(weights: Path, output: Path, rights: ExportRights) -> Iterator[Event]:
    """The weights as they are; they carry model, settings and consent themselves."""
    files = load_swapper_files(weights)
    yield StageStarted(stage="export", detail=f"{files.model} as safetensors")
    size = weights.stat().st_size
    base = MODELS[files.model]()
    settings = config.merge(base, settings_without_name(files.settings))
    side = settings.resolution
    facts = describe(
        weights,
        settings,
        files.step,
        inputs=f"face (n, 3, {side}, {side}) float32, RGB in [0, 1]",
        outputs="swap (n, 3, r, r) float32, RGB in [0, 1]; mask (n, 1, r, r) in [0, 1]",
        more={},
    )
    example = "from pathlib import Path\n\nfrom understudy.pipelines.swapper import Swapper\n"
    example += "from understudy.pipelines.setup import make_context\n\n"
    example += f"swapper = Swapper.load(Path({output.name!r}), make_context('cpu'))\n"
    title = f"Face-swapping model ({files.model}, {settings.resolution} pixels)"
    card = Card(title=title, facts=facts, example=example)
    with weights.open("rb") as file:
        pieces = iter(lambda: file.read(1 << 22), b"")
        written = write_with_card(output, pieces, size, card, rights.sign)
    for path in written:
        yield Saved(path=path)
    yield StageDone(stage="export", summary={"file": str(output), "megabytes": round(size / 1e6, 1)})


def _to_deepfacelab(place: Path, output: Path, name: str, rights: ExportRights) -> Iterator[Event]:
    folder = place / "swapper" if (place / "swapper").is_dir() else place
    files = load_swapper_files(folder)
    plain = settings_without_name(files.settings)
    yield StageStarted(stage="export", detail=f"{files.model} for DeepFaceLab", unit="files")
    try:
        base = Xseg() if files.model == Xseg.name else MODELS[files.model]()
        settings = config.merge(base, plain)
    except (ConfigError, PluginError) as error:
        raise CheckpointError(f"{folder}: of a model that cannot be built here ({error})") from None
    written = write_model(output, settings, files.weights, files.step, name, rights.sign_all)
    yield StageDone(stage="export", summary={"folder": str(output), "files": len(written)})
