"""``understudy import``: a trained model of DeepFaceLab to a run of ours."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from understudy import config
from understudy.cli.show import console, follow
from understudy.errors import ConfigError
from understudy.interop.deepfacelab_options import Told
from understudy.interop.importing import import_model


@dataclass(frozen=True, kw_only=True)
class Command:
    """The command's flags."""

    models: Path | None = None
    """Folder of DeepFaceLab's model files; the flag's name may be left out."""
    output: Path | None = None
    """Folder of the run to be (-o)."""
    name: str | None = None
    """Which model, where the folder has several."""
    archi: str | None = None
    """Its architecture where its data.dat was lost: df-ud, liae-udt."""
    face_type: str | None = None
    """Its face type where its data.dat was lost: h, mf, f, wf or head."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    words = ["--models", *arguments] if arguments and not arguments[0].startswith("-") else arguments
    command = config.parse(
        Command(),
        words,
        prog="understudy import",
        description="Read a model that DeepFaceLab trained (SAEHD, Quick96, AMP, XSeg): understudy import "
        "FOLDER -o RUN. Nothing in its files is run, and no face in them is read.",
    )
    if command.models is None or command.output is None:
        raise ConfigError("import: wanted a folder of model files and --output; see understudy import --help")
    told = Told(archi=command.archi, face_type=command.face_type)
    done = follow(import_model(command.models, command.output, name=command.name, told=told))
    if done["import"]["model"] == "xseg":
        return 0
    words = ["understudy", "train", "--run", command.output, "-s", "SOURCE", "-t", "TARGET", "--steps"]
    console.print(escape(f"run: {command.output}") + "\ngo on training with (all steps together):")
    console.print("  " + escape(shlex.join(map(str, [*words, done["import"]["steps"] + 10000]))))
    return 0
