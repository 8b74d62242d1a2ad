"""``understudy doctor``: what this machine has, and what to do about what it lacks."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from understudy import __version__

USAGE = """usage: understudy doctor

Shows what this machine has (Python, torch, GPU, codecs, memory, disk, network weights) and names a remedy for
everything that is missing or slow. Exit code 1 when something that every command needs is missing.
"""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    subject: str
    """What was looked at."""
    text: str
    """What was found."""
    remedy: str = ""
    """What to do; empty when all is well."""
    fatal: bool = False
    """Nothing works without it."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    if arguments:
        known = arguments[0] in ("-h", "--help")
        (sys.stdout if known else sys.stderr).write(USAGE)
        return 0 if known else 2
    fatal = False
    for finding in examine():
        mark = "✗" if finding.fatal else "!" if finding.remedy else "✓"
        sys.stdout.write(f"{mark} {finding.subject:<9} {finding.text}\n")
        if finding.remedy:
            sys.stdout.write(
                "\n".join(f"            → {line}" for line in finding.remedy.splitlines()) + "\n"
            )
        fatal = fatal or finding.fatal
    return 1 if fatal else 0


def examine() -> Iterator[Finding]:
    """Looks at everything, in the order of the report."""
    yield Finding("understudy", __version__)
    yield Finding("python", f"{platform.python_version()} ({platform.system()} {platform.machine()})")
    yield from _torch()
    yield _processor()
    yield _memory()
    yield _codecs()
    yield from _weights()
    yield _dlib()
    yield _disk()


def _torch() -> Iterator[Finding]:
    if importlib.util.find_spec("torch") is None:
        yield Finding("torch", "missing", "pip install 'torch>=2.6,<2.14'", fatal=True)
        return
    import torch

    yield Finding("torch", torch.__version__)
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(index)
            bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
            yield Finding("gpu", f"cuda:{index} {about.name}, {about.total_memory / 2**30:.0f} GB, {bf16}")
    elif torch.version.cuda is None:
        yield Finding(
            "gpu",
            "none used: this torch is a CPU build",
            "training works on the CPU (recipe cpu, about ten minutes).\n"
            "With an NVIDIA card install a CUDA build of torch, see its website",
        )
    else:
        yield Finding(
            "gpu",
            f"none found, although torch was built for CUDA {torch.version.cuda}",
            "run nvidia-smi: without output the driver is missing; with an older CUDA version than torch's, "
            "update the driver",
        )


def _processor() -> Finding:
    import torch

    from understudy.training.process import cores

    fast = [
        name for name in ("avx2", "avx512", "amx") if name in torch.backends.cpu.get_cpu_capability().lower()
    ]
    count = cores()
    text = f"{count} cores, {torch.backends.cpu.get_cpu_capability()}"
    if not fast:
        return Finding("processor", text, "no AVX2: training on this processor will be slow")
    return Finding("processor", text)


def _memory() -> Finding:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        return Finding("memory", "unknown on this system")
    remedy = (
        ""
        if total >= 4
        else "less than 4 GB: use small crops (--model.resolution 64) and close other programs"
    )
    return Finding("memory", f"{total:.0f} GB", remedy)


def _codecs() -> Finding:
    import av

    wanted = {
        "libx264": "H.264",
        "libx265": "H.265",
        "libvpx-vp9": "VP9",
        "ffv1": "FFV1",
        "prores_ks": "ProRes",
    }
    have = [label for name, label in wanted.items() if name in av.codecs_available]
    lacking = [label for name, label in wanted.items() if name not in av.codecs_available]
    text = f"PyAV {av.__version__} writes {', '.join(have)}"
    remedy = (
        f"no encoder for {', '.join(lacking)}: reinstall av from its wheel (pip install --force-reinstall av)"
    )
    return Finding("video", text, remedy if lacking else "", fatal="H.264" in lacking)


def _weights() -> Iterator[Finding]:
    from understudy.weights import WeightStore
    from understudy.weights.download import pip_command

    store = WeightStore()
    missing = store.missing()
    if not missing:
        yield Finding("weights", f"all here ({store.folder})")
        return
    names = ", ".join(file.name for file in missing)
    remedy = "understudy weights fetch (the first command that finds faces does it by itself)"
    if pip_command() is None:
        archives = {
            getattr(f.source, "command", ""): getattr(f.source, "file_name", f.file_name) for f in missing
        }
        remedy = (
            "there is no pip here; on a machine that has it run, then copy the file here and import it:\n"
            + "\n".join(f"{command}\nunderstudy weights import {name}" for command, name in archives.items())
        )
    yield Finding("weights", f"missing in {store.folder}: {names}", remedy)


def _dlib() -> Finding:
    if importlib.util.find_spec("dlib") is None:
        return Finding("dlib", "not installed (only the detector 'hog' needs it)")
    return Finding("dlib", importlib.metadata.version("dlib-bin") if _installed("dlib-bin") else "installed")


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    remedy = "" if free >= 5 else "less than 5 GB free: a job of a few minutes of footage needs about that"
    return Finding("disk", f"{free:.0f} GB free in {Path.cwd()}", remedy)
