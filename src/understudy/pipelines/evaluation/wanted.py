"""What a person who names a run or a video wants to have measured, and where its report goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from understudy.errors import ConfigError, VideoError
from understudy.events import Event
from understudy.faces.faceset import FaceSet
from understudy.pipelines.evaluation.paired_footage import Inputs
from understudy.pipelines.extract import ExtractSettings, extract
from understudy.pipelines.merging.merge import merge
from understudy.pipelines.merging.settings import MergeSettings
from understudy.pipelines.project import Project
from understudy.provenance.labels import fingerprint
from understudy.training.rundir import RunFolder
from understudy.video.stills import image_files, is_stills


def resolve(result: Path | None, wanted: Inputs, output: Path | None) -> tuple[Inputs, Path, Iterator[Event]]:
    """The files behind what was named.

    A run stands for the video that its project rendered; where there is none it is rendered into the folder
    of the report first.

    Args:
        result: a swapped video, a folder of pictures, or the folder of a run.
        wanted: source, target and truth; a source ``Path()`` means the run's own.
        output: folder of the report; None: ``report`` in the run, ``NAME.report`` beside the video.

    Returns:
        What is measured, the report's folder, and the work to be done before.

    Raises:
        ConfigError: something was not named.
        VideoError: a file is missing.
    """
    if result is None or wanted.target == Path():
        raise ConfigError(
            "wanted a swapped video or a run, and the footage that it was put into (--target FOOTAGE); "
            "see --help"
        )
    run = RunFolder(result, guest=True) if (result / "recipe.toml").is_file() else None
    if run is None and wanted.source == Path():
        raise ConfigError(
            "wanted --source, who was put in: a face set, a video, a picture or a folder of pictures"
        )
    for path in (result, wanted.target, wanted.source, wanted.truth, *wanted.gallery):
        if path is not None and not path.exists():
            raise VideoError(f"{path}: there is no such file or folder; is the name right?")
    if run is None:
        _check_folder(result)
        folder = output or result.with_name(f"{result.stem if result.is_file() else result.name}.report")
        return replace(wanted, result=result), folder, iter(())
    folder = output or run.path / "report"
    project = _project(run)
    if wanted.source == Path():
        wanted = replace(wanted, source=_source(run, project))
    rendered = _rendered(project, wanted.target)
    if rendered is not None:
        return replace(wanted, result=rendered), folder, iter(())
    rendered = folder / "result.mp4"
    return replace(wanted, result=rendered), folder, _render(run, project, wanted.target, rendered)


def _check_folder(path: Path) -> None:
    """A folder must be one of pictures.

    Raises:
        VideoError: it is another.
    """
    if (path / "faceset.toml").is_file():
        raise VideoError(f"{path}: wanted a video, a folder of pictures or a run; it is a face set")
    if path.is_dir() and not is_stills(path):
        raise VideoError(f"{path}: wanted a video, a folder of pictures or a run; it is neither")
    if path.is_dir():
        image_files(path)


def _project(run: RunFolder) -> Project | None:
    """The project that the run belongs to."""
    folder = run.path.resolve().parent.parent
    return Project(folder) if (folder / "project.toml").is_file() else None


def _source(run: RunFolder, project: Project | None) -> Path:
    if project is None or not (project.source_faces / "faceset.toml").is_file():
        raise ConfigError(
            f"evaluate: {run.path} is not in a project that has the source's faces; name them: --source FACES"
        )
    return project.source_faces


def _rendered(project: Project | None, target: Path) -> Path | None:
    """The project's result, if it was made from this target."""
    if project is None or not project.state.output or project.state.target != fingerprint((target,)):
        return None
    name = project.state.output.rpartition(" ")[0]
    path = project.folder.parent / name
    return path if path.exists() else None


def _render(run: RunFolder, project: Project | None, target: Path, output: Path) -> Iterator[Event]:
    """Put the run's faces into the target, with the faces that the project has or new ones."""
    faces = output.parent / "faces"
    if project is not None and project.state.target == fingerprint((target,)) and project.state.target_done:
        faces = project.target_faces
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        yield from extract((target,), faces, ExtractSettings())
    yield from merge(run.swapper, target, FaceSet.open(faces), output, MergeSettings())
