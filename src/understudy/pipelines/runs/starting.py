"""Beginning a run with the weights of another: what fits is taken, what does not is said, never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

from safetensors import SafetensorError
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]  # its PathLike is bare
from torch import Tensor, nn

from understudy.contracts import Context
from understudy.errors import CheckpointError, ConfigError
from understudy.models import ModelSettings
from understudy.training import checkpoint
from understudy.training.packing import is_packed, read_packed, write_packed
from understudy.training.rundir import RunFolder, load_swapper_files
from understudy.training.tensors import read_tensors, sha256_of, write_tensors

Missing = Literal["error", "fresh"]
"""What becomes of weights that the other run does not have: refuse, or begin them anew."""

FILE = "start.safetensors"
"""Where a run keeps the weights it began with, until it has a checkpoint and after."""
_SHOWN = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Given:
    """Weights to begin with."""

    weights: Mapping[str, Tensor]
    """By the names of the model that learned them."""
    about: Mapping[str, Any]
    """What they are and their hash, plain data; no path, which may hold a person's name."""


def shipped(name: str) -> Path:
    """The file of a starting model that comes with the package.

    Raises:
        ConfigError: there is none of that name.
    """
    folder = Path(str(resources.files("understudy") / "assets"))
    there = {file.stem.removeprefix("start_"): file for file in sorted(folder.glob("start_*.safetensors"))}
    if name not in there:
        known = ", ".join(["none", *there])
        raise ConfigError(f"starting: no starting model is named {name!r} (there are: {known})")
    return there[name]


def pack_start(swapper: Path, file: Path) -> None:
    """Writes a pretrained swapper's weights small, to be shipped as a starting model.

    Both persons' decoders were taught the same: of DF's two the source's is kept for both.

    Raises:
        CheckpointError: there is no swapper.
        OutputError: no space, no permission.
    """
    files = load_swapper_files(swapper)
    twins = {"decoder_target.": "decoder_source."} if "decoder_target.out.0.weight" in files.weights else {}
    about = {"kind": "starting model", "model": files.model, "step": files.step, "settings": files.settings}
    write_packed(file, files.weights, about, twins)


def read_start(path: Path) -> Given:
    """The weights of a run's folder, a swapper, a starting model or a file of weights.

    Of a run the running average is taken, which is what it gives away; its optimiser's memory is not.

    Raises:
        CheckpointError: there are none, or they are damaged.
    """
    if (path / "recipe.toml").is_file():
        held, passed = checkpoint.load(path / "checkpoints")
        if held is None:
            raise CheckpointError(f"{path}: a run without a checkpoint has no weights to begin with")
        file = path / "checkpoints" / f"{held.step:08d}" / "weights.safetensors"
        about = {"kind": "run", "name": path.resolve().name, "step": held.step, "sha256": sha256_of(file)}
        if passed:
            about["passed_over"] = len(passed)
        return Given(weights={**held.weights, **held.average}, about=about)
    file = path / "weights.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise CheckpointError(
            f"{path}: wanted the folder of a run, a swapper or a .safetensors file to begin with; not there"
        )
    if is_packed(file):
        weights, about = read_packed(file)
        return Given(weights=weights, about={**about, "sha256": sha256_of(file)})
    try:
        files = load_swapper_files(file)
    except CheckpointError as error:
        return Given(weights=_plain(file, error), about={"kind": "weights", "sha256": sha256_of(file)})
    about = {"kind": "swapper", "model": files.model, "step": files.step, "sha256": sha256_of(file)}
    return Given(weights=files.weights, about=about)


def _plain(file: Path, reason: CheckpointError) -> dict[str, Tensor]:
    """Weights of another program's making; a swapper of ours that is damaged stays refused."""
    try:
        weights: dict[str, Tensor] = load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file}: not a file of weights ({error})") from error
    if "altered" in str(reason) and _is_ours(file):
        raise reason
    return weights


def _is_ours(file: Path) -> bool:
    """Whether the header carries our hash."""
    with file.open("rb") as data:
        length = int.from_bytes(data.read(8), "little")
        return b'"sha256"' in data.read(min(length, 1_000_000))


def fit(
    module: nn.Module, given: Mapping[str, Tensor], missing: Missing
) -> tuple[dict[str, Tensor], list[str]]:
    """The weights that a model takes over, and the names of those that begin anew.

    Raises:
        CheckpointError: some are missing or of another shape and ``missing`` is ``error``; or none fits.
    """
    own = module.state_dict()
    taken: dict[str, Tensor] = {}
    wrong: dict[str, str] = {}
    for name, mine in own.items():
        theirs = given.get(name)
        if theirs is None:
            wrong[name] = "missing"
        elif theirs.shape != mine.shape:
            wrong[name] = f"{list(theirs.shape)} there, {list(mine.shape)} here"
        else:
            taken[name] = theirs.to(mine.dtype)
    if not taken:
        raise CheckpointError(
            f"none of the {len(given)} weights fits this model of {len(own)}: they are of another model "
            f"(theirs begin with {', '.join(list(given)[:3])}; ours with {', '.join(list(own)[:3])})"
        )
    if wrong and missing == "error":
        said = "; ".join(f"{name} ({why})" for name, why in list(wrong.items())[:_SHOWN])
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise CheckpointError(
            f"{len(wrong)} of {len(own)} weights do not fit: {said}{more}. Choose the model's settings as "
            "they were there, or begin these anew with --start-missing fresh"
        )
    return taken, list(wrong)


def write_start(run: RunFolder, weights: Mapping[str, Tensor]) -> None:
    """Keep the weights with which a run begins in its folder."""
    write_tensors(run.path / FILE, weights, {"start": "1"})


def take_start(run: RunFolder, module: nn.Module) -> None:
    """Give a model the weights with which its run begins, if it begins with any and has not begun.

    Raises:
        CheckpointError: they are lost or damaged.
    """
    about = run.origin.get("start")
    if about is None or checkpoint.steps(run.checkpoints):
        return
    if not (run.path / FILE).is_file():
        raise CheckpointError(f"{run.path / FILE} is missing, with which this run begins; begin a new one")
    weights, _ = read_tensors(run.path / FILE)
    keys = module.load_state_dict(weights, strict=False)
    assert set(cast("list[str]", keys.missing_keys)) == set(about["fresh"]), "the model is that of the recipe"


def prepare(model: ModelSettings, path: Path, missing: Missing, context: Context) -> Given:
    """What a run with this model takes over from ``path``; its ``about`` names what begins anew.

    Raises:
        CheckpointError: see ``read_start`` and ``fit``.
    """
    given = read_start(path)
    module = model.build(context)
    assert isinstance(module, nn.Module)
    taken, fresh = fit(module, given.weights, missing)
    left = sorted(given.weights.keys() - module.state_dict().keys())
    return Given(weights=taken, about={**given.about, "fresh": fresh, "not_used": left})


def choose(
    model: ModelSettings, starting: str, path: Path | None, missing: Missing, context: Context
) -> tuple[Given | None, str]:
    """What a run begins with, None for random weights; and what is to be said of it.

    A starting model is a recipe's offer: where it is for another model, the run does without it and says so.
    What was asked for by its path is an error when it does not fit.

    Args:
        model: settings of the run's model.
        starting: name of a starting model that comes with the package, or ``none``.
        path: weights that were asked for; they go before the starting model.
        missing: what becomes of weights that ``path`` lacks.
        context: where to build the model.

    Raises:
        CheckpointError: see ``prepare``.
        ConfigError: there is no starting model of that name.
    """
    if path is not None:
        return prepare(model, path, missing, context), ""
    if starting == "none":
        return None, ""
    try:
        return prepare(model, shipped(starting), "error", context), ""
    except CheckpointError:
        return None, (
            f"the starting model {starting!r} is for other settings of the model: this run begins with "
            "random weights"
        )
