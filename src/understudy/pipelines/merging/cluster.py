"""Segments on the machines of a Ray cluster; the result is what one process makes.

Ray (``pip install understudy[cluster]``) has to run already: ``ray start --head`` on one machine, and on the
others ``ray start --address HEAD``. Every machine has understudy, and sees the footage, the face set, the
swapper and the place of the output under the same paths: pictures do not travel, segments are written where
they belong. A machine that goes away costs the segments that it was at.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Generator, Mapping
from types import ModuleType
from typing import Any

from understudy.errors import ConfigError, UnderstudyError
from understudy.pipelines.merging.render import Renderer, RenderOrder, Step
from understudy.pipelines.merging.segments import Journal, SegmentReport
from understudy.pipelines.merging.workers import SegmentQueue, error_named
from understudy.pipelines.setup import one_thread
from understudy.training.process import cores

_ENGINE = "ray"
_LOOK = 1.0
"""Seconds between two looks at the cluster."""


class RemoteRenderer:
    """Renders segments in a process of the cluster.

    Args:
        order: plain data of a ``RenderOrder``.
    """

    def __init__(self, order: Mapping[str, Any]) -> None:
        one_thread()
        self._order = order
        self._renderer: Renderer | None = None

    def segment(self, number: int) -> dict[str, Any]:
        """Renders one; gives its report, or the error that a person can act on."""
        faces = 0
        try:
            if self._renderer is None:
                self._renderer = Renderer(RenderOrder.from_json(self._order))
            for item in self._renderer.segments(number, number + 1):
                if isinstance(item, SegmentReport):
                    return {"report": item.to_json(), "faces": faces}
                faces += item[1]
        except UnderstudyError as error:
            return {"error": type(error).__name__, "message": str(error)}
        raise AssertionError("a segment ends with its report")


def render_on_cluster(order: RenderOrder, journal: Journal, frames: int) -> Generator[Step]:
    """Renders the segments that the journal lacks; gives a step for every segment.

    Args:
        order: what; its settings say where and in how many processes.
        journal: what is finished; every segment is added.
        frames: of the render, as the footage's index says.

    Raises:
        ConfigError: Ray is not installed, or no cluster answers.
        UnderstudyError: whatever a process raised, or all of them are gone.
    """
    engine = _require_ray()
    queue = SegmentQueue(journal, -(-frames // order.settings.segment))
    with _joined(engine, order.settings.cluster or "auto"):
        kind = engine.remote(num_cpus=1, scheduling_strategy="SPREAD")(RemoteRenderer)
        data = _fixed(order).to_json()
        idle: list[Any] = [kind.remote(data) for _ in range(order.settings.workers)]
        busy: dict[Any, tuple[Any, int]] = {}
        while not journal.complete:
            while idle and (number := queue.next()) is not None:
                queue.take(number)
                actor = idle.pop()
                busy[actor.segment.remote(number)] = actor, number
            if not busy:
                raise UnderstudyError(
                    "every process of the cluster is gone; look at the cluster with ray status. What is "
                    "finished is kept; the same command goes on from there"
                )
            ready, _ = engine.wait(list(busy), timeout=_LOOK)
            for reference in ready:
                actor, number = busy.pop(reference)
                try:
                    said = engine.get(reference)
                except engine.exceptions.RayActorError:  # its machine went away: another one takes over
                    queue.give_back(number)
                    continue
                idle.append(actor)
                if "error" in said:
                    raise error_named(said["error"], said["message"])
                report = SegmentReport.from_json(said["report"])
                _check_seen(journal, report)
                queue.done(report)
                yield report.frames, said["faces"]


def _check_seen(journal: Journal, report: SegmentReport) -> None:
    """Refuses a cluster whose machines do not share a disk.

    Raises:
        ConfigError: the segment is not here.
    """
    if report.frames and not (journal.folder / report.part).exists():
        raise ConfigError(
            f"cluster: {journal.folder / report.part} was written on another machine and cannot be seen "
            "here; put the output on a disk that all of them have under the same path"
        )


def _fixed(order: RenderOrder) -> RenderOrder:
    """The order with a fixed number of encoder threads: libx264's results depend on it.

    It is what libx264 takes by itself on this machine: three for every two processors.
    """
    settings = order.settings
    threads = settings.encode.threads or max(1, cores() * 3 // 2)
    encode = dataclasses.replace(settings.encode, threads=threads)
    return dataclasses.replace(order, settings=dataclasses.replace(settings, encode=encode))


@contextlib.contextmanager
def _joined(engine: ModuleType, address: str) -> Generator[None]:
    """Within the block this process belongs to the cluster; what it started there ends with it."""
    if engine.is_initialized():
        yield
        return
    try:
        engine.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"cluster: no Ray cluster answers at {address!r} ({error}); start one with ray start --head"
        ) from None
    try:
        yield
    finally:
        engine.shutdown()


def _require_ray() -> ModuleType:
    """The package. Raises ``ConfigError`` that says how to get it."""
    try:
        return importlib.import_module(_ENGINE)
    except ImportError:
        raise ConfigError(
            "cluster: wants Ray, which is not installed: pip install 'understudy[cluster]'"
        ) from None
