"""The project folder of one job: which files it was made from, its face sets, its run and its outputs.

``<output>.understudy/project.toml`` is written after every stage, so that the same command goes on where
the last one stopped. A stage is done again only when what it was made from has changed.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from understudy import config, durable
from understudy.errors import ConfigError, OutputError


@dataclass(frozen=True, kw_only=True)
class ProjectState:
    """What ``project.toml`` holds; an empty text means not yet."""

    source: str = ""
    """Fingerprint of the source's footage."""
    target: str = ""
    """Fingerprint of the target's footage."""
    extract: str = ""
    """Fingerprint of the extraction settings."""
    source_done: bool = False
    """The source's face set is complete."""
    target_done: bool = False
    """The target's face set is complete."""
    run: str = ""
    """Name of the current run folder."""
    persons: str = ""
    """Persons of both face sets for which the run was started."""
    output: str = ""
    """The result."""


class Project:
    """An open project folder.

    Args:
        folder: where it lies; made when missing.

    Raises:
        OutputError: the folder cannot be made.
        ConfigError: it holds a ``project.toml`` that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"project folder {folder}: cannot be made ({error.strerror}); choose another output"
            ) from None
        self.state = self._read()

    @staticmethod
    def beside(output: Path) -> Path:
        """The project folder of an output."""
        whole = output.resolve()
        return (
            output.parent / f"{whole.stem}.understudy"
            if output.name
            else whole.parent / f"{whole.stem}.understudy"
        )

    @property
    def source_faces(self) -> Path:
        """The source's face set."""
        return self.folder / "faces" / "source"

    @property
    def target_faces(self) -> Path:
        """The target's face set."""
        return self.folder / "faces" / "target"

    @property
    def runs(self) -> Path:
        """Folder of the runs."""
        return self.folder / "runs"

    @property
    def run(self) -> Path | None:
        """The current run folder, if there is one."""
        return (
            self.runs / self.state.run if self.state.run and (self.runs / self.state.run).is_dir() else None
        )

    @property
    def target_persons(self) -> list[int]:
        """Persons of the target's face set for whom the run was started."""
        found = re.findall(r"\[[^\]]*\]", self.state.persons)
        return [int(number) for number in re.findall(r"-?\d+", found[1])] if len(found) == 2 else [0]

    def update(self, **changes: str | bool) -> None:
        """Changes the state and writes it."""
        self.state = dataclasses.replace(self.state, **changes)  # pyright: ignore[reportArgumentType]  # names are checked
        durable.write_text(self.folder / "project.toml", config.to_toml(config.dump(self.state)))

    def _read(self) -> ProjectState:
        file = self.folder / "project.toml"
        if not file.is_file():
            return ProjectState()
        try:
            return config.merge(ProjectState(), tomllib.loads(file.read_text("utf-8")))
        except (OSError, tomllib.TOMLDecodeError, ConfigError) as error:
            raise ConfigError(
                f"{file}: cannot be read as a project ({error}); mend it, or move the folder away and "
                "start anew"
            ) from None
