"""``understudy export``: a swapper as ONNX, for DeepFaceLive, or as DeepFaceLab's model files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from understudy import config
from understudy.cli.show import follow
from understudy.errors import ConfigError
from understudy.interop.exporting import export
from understudy.provenance.signer import SigningSettings


@dataclass(frozen=True, kw_only=True)
class Command:
    """The command's flags."""

    swapper: Path | None = None
    """A run, its swapper folder, or the weights in it; the flag's name may be left out."""
    output: Path | None = None
    """FILE.onnx, FILE.dfm, FILE.safetensors, or a new folder for DeepFaceLab's files (-o)."""
    format: Literal["auto", "onnx", "dfm", "safetensors", "deepfacelab"] = "auto"
    """auto: by the ending of the output."""
    precision: Literal["fp32", "fp16"] = "fp32"
    """Of an ONNX file's arithmetic; fp16 halves the file."""
    name: str = "new"
    """What DeepFaceLab shows in its list of models."""
    sign: SigningSettings = field(default_factory=SigningSettings)
    """With which key it is signed; none: this installation's own."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    words = ["--swapper", *arguments] if arguments and not arguments[0].startswith("-") else arguments
    command = config.parse(
        Command(),
        words,
        prog="understudy export",
        description="Give a swapper to other programs: understudy export RUN -o FILE.onnx. An ONNX file is "
        "compared with torch before it is written; a model card and a signed manifest are put beside it.",
    )
    if command.swapper is None or command.output is None:
        raise ConfigError("export: wanted a run and --output; see understudy export --help")
    follow(
        export(
            command.swapper,
            command.output,
            form=command.format,
            precision=command.precision,
            name=command.name,
            sign=command.sign,
        )
    )
    return 0
