"""A trained model of DeepFaceLab to a run folder of ours: it merges, and goes on training where it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from understudy import config, durable
from understudy.errors import OutputError
from understudy.events import Event, Planned, StageDone, StageStarted, Warned
from understudy.interop.deepfacelab import ForeignModel, choose_model, read_model
from understudy.interop.deepfacelab_options import Told, optimizer_of
from understudy.models import ModelSettings
from understudy.pipelines.runs.segmentation import MaskTrainSettings
from understudy.pipelines.runs.train import TrainSettings
from understudy.training import checkpoint
from understudy.training.bounds import LoopSettings
from understudy.training.checkpoint import Checkpoint
from understudy.training.optim import OptimizerSettings
from understudy.training.process import cores, resolve_precision
from understudy.training.rundir import RunFolder, SwapperFiles, make_origin, save_swapper
from understudy.training.standing import Standing

IMPORTED = "imported"
"""What stands in place of the hashes of face sets: nobody knows them."""


def import_model(
    folder: Path, output: Path, *, name: str | None = None, told: Told | None = None
) -> Iterator[Event]:
    """Reads a model and makes a run of it.

    Settings of training that both programs have are taken over (batch, optimiser, its dropout, clipping);
    the others are ours. All options stand in the run's ``origin.toml``. Faces that lie among the model's
    files are not read.

    Args:
        folder: the model's files.
        output: folder of the run; made, must not exist.
        name: which model, where there are several.
        told: what the user says where the options were lost.

    Raises:
        DataError: a file that is torn or holds more than arrays, or arrays that do not fit; all are named.
        OutputError: the place exists or cannot be written.
    """
    if output.exists():
        raise OutputError(f"{output}: exists already; name a new folder for the run")
    found = choose_model(folder, name)
    yield StageStarted(stage="import", detail=f"{found.kind} from {folder}", unit="models")
    model = read_model(found, told)
    optimizer = optimizer_of(model.kind, model.options)
    yield Planned(lines=tuple(_told(model)))
    if found.data is None:
        yield Warned(message="there is no data.dat: steps are counted from 0")
    memory = model.memory if _fits(optimizer, model) else {}
    if not memory:
        why = "is of another optimiser than its options say" if model.memory else "is not among its files"
        yield Warned(message=f"the optimiser's memory {why}: training goes on with an empty one")
    with durable.explained(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    with durable.new_folder(output) as part:
        _write(part, model, optimizer, memory)
    swapper = str(output / "swapper")
    yield StageDone(
        stage="import", summary={"model": model.settings.name, "steps": model.step, "swapper": swapper}
    )


def _told(model: ForeignModel) -> Iterator[str]:
    settings = model.settings
    letters = getattr(settings, "options", "")
    count = sum(weight.numel() for weight in model.weights.values()) / 1e6
    yield (
        f"{model.kind}: {settings.name}{'-' * bool(letters)}{letters}, {settings.resolution} pixels, "
        f"{settings.crop} faces, {count:.1f} M weights, {model.step} steps"
    )


def _fits(optimizer: OptimizerSettings, model: ForeignModel) -> bool:
    word = {"adabelief": "mean", "rmsprop": "square_avg"}.get(optimizer.name)
    return any(key.endswith(f"/{word}") for key in model.memory)


def _write(part: Path, model: ForeignModel, optimizer: OptimizerSettings, memory: Mapping[str, Any]) -> None:
    """A run as it would lie there after ``model.step`` steps of ours."""
    batch = max(1, int(model.options.get("batch_size", 4)))
    if isinstance(model.settings, ModelSettings):
        settings = TrainSettings(model=model.settings, batch=batch, optimizer=optimizer)
        recipe = {"train": config.dump(settings)}
        about = {key: value for key, value in config.dump(model.settings).items() if key != "name"}
    else:
        masks = MaskTrainSettings(segmenter=model.settings, batch=batch, optimizer=optimizer)
        recipe = {"mask": config.dump(masks)}
        about = model.settings.described()
    loop = LoopSettings()
    options = {
        key: value for key, value in model.options.items() if isinstance(value, (bool, int, float, str))
    }
    origin = make_origin(
        loop.seed,
        {"source": IMPORTED, "target": IMPORTED},
        imported={"program": "DeepFaceLab", "model": model.kind, "step": model.step, "options": options},
    )
    durable.fill(part / "recipe.toml", [config.to_toml(recipe).encode()])
    durable.fill(part / "origin.toml", [config.to_toml(origin).encode()])
    run = RunFolder(part)
    state = {
        "seed": loop.seed,
        "precision": resolve_precision("auto", "cpu"),
        "optimizer": optimizer.name,
        "threads": cores(),
        **Standing(settings=loop).state(),
    }
    held = Checkpoint(step=model.step, weights=model.weights, optimizer=memory, state=state)
    checkpoint.save(run.checkpoints, held)
    swapper = SwapperFiles(model=model.settings.name, settings=about, weights=model.weights, step=model.step)
    save_swapper(run.swapper, swapper)
