"""The timing contract of every benchmark: how time is taken, and what is written beside the figures.

* Work is done once or more unmeasured (caches, lazy imports), then several times measured by the monotonic
  wall clock; the **median** is the figure, the best and the worst stand beside it. A rate is units of the
  median run.
* A benchmark uses the defaults that a user has: threads are not pinned unless its subject is one thread,
  and then the condition says so.
* Figures lie in ``benchmarks/results/<subject>.json`` with the commit (and whether files differed from
  it), the date, the versions and the hardware, so that nobody compares two machines unawares. No host
  name, no paths.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from understudy.durable import write_text
from understudy.training import process

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What several runs of the same work took."""

    seconds: tuple[float, ...]
    """Wall time of every measured run."""
    units: float
    """Units of work in a run: frames, steps, faces."""

    @property
    def median(self) -> float:
        """Seconds of the median run."""
        return statistics.median(self.seconds)

    @property
    def milliseconds(self) -> float:
        """Milliseconds a unit, median run."""
        return 1000.0 * self.median / self.units

    @property
    def rate(self) -> float:
        """Units a second, median run."""
        return self.units / self.median

    def plain(self) -> dict[str, Any]:
        """For the results file."""
        return {
            "per_second": round(self.rate, 3),
            "milliseconds": round(self.milliseconds, 4),
            "best_milliseconds": round(1000.0 * min(self.seconds) / self.units, 4),
            "worst_milliseconds": round(1000.0 * max(self.seconds) / self.units, 4),
            "runs": len(self.seconds),
            "units": self.units,
        }


def measure(
    work: Callable[[], object], *, units: float = 1.0, warm_up: int = 1, runs: int = 5, at_least: float = 0.0
) -> Timing:
    """Time some work.

    Args:
        work: one run of it.
        units: frames, steps or faces in a run.
        warm_up: unmeasured runs.
        runs: measured runs, at least.
        at_least: seconds that the measured runs shall take together; short work is repeated for as long.
    """
    for _ in range(warm_up):
        work()
    seconds: list[float] = []
    while len(seconds) < runs or sum(seconds) < at_least:
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return Timing(seconds=tuple(seconds), units=units)


def peak_memory() -> float:
    """Largest resident set of this process so far, MiB; 0 where the system does not tell."""
    return process.peak_memory() / 2**20


def publish(
    subject: str, figures: Mapping[str, Timing | float | str], conditions: Mapping[str, object]
) -> Path:
    """Print the figures and write them to ``benchmarks/results/<subject>.json``.

    Args:
        subject: name of the benchmark.
        figures: what was measured, by name.
        conditions: what one must know to repeat it: sizes, presets, counts.
    """
    width = max(map(len, figures), default=0)
    for name, figure in figures.items():
        if isinstance(figure, Timing):
            shown = f"{figure.milliseconds:10.2f} ms {figure.rate:10.1f} /s"
        else:
            shown = f"{figure:10.3f}" if isinstance(figure, float) else str(figure)
        print(f"{name:<{width}}  {shown}")
    plain = {
        name: figure.plain() if isinstance(figure, Timing) else figure for name, figure in figures.items()
    }
    record = {"subject": subject, **_origin(), "conditions": dict(conditions), "figures": plain}
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{subject}.json"
    write_text(path, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return path


def _origin() -> dict[str, Any]:
    """Commit, date, versions and hardware."""
    packages = ("torch", "numpy", "av", "opencv-python-headless")
    return {
        "commit": _git("rev-parse", "HEAD"),
        "altered": bool(_git("status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks")),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "hardware": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
            "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
            "torch_threads": torch.get_num_threads(),
        },
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
