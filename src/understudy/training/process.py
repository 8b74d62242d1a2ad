"""What must be settled for the whole process, before torch is loaded or soon after.

Measured reasons stand at each function. Nothing here imports torch at the top, so that the command line can
call ``prepare`` first.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path
from typing import Literal

from understudy.errors import ConfigError

Precision = Literal["auto", "bf16", "fp16", "fp32"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def prepare() -> None:
    """Make the process fit for training on a processor; call it before torch is imported, once.

    Threads of OpenMP that spin while they wait starve each other on a busy machine: a training step took
    seconds instead of a fraction of one. glibc gives every large block back to the system when it is freed
    and gets zeroed pages the next time; keeping them makes each step cheaper. What the user has set is kept.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_pages()


def keep_pages() -> bool:
    """Let glibc keep freed memory for the next step; False where there is no glibc."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def resolve_precision(wanted: Precision, device: str) -> Literal["bf16", "fp16", "fp32"]:
    """``auto`` as what the device computes fastest; bfloat16 is preferred, since it needs no scaled losses.

    Args:
        wanted: the setting.
        device: torch's type of device, ``cpu`` or ``cuda``.

    Raises:
        ConfigError: float16 on a processor.
    """
    if wanted == "fp16" and device != "cuda":
        raise ConfigError(
            f"precision: fp16 is for a GPU; on {device} it is slower than fp32 and less exact; "
            "choose auto, bf16 or fp32"
        )
    if wanted != "auto":
        return wanted
    import torch

    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16"
        return (
            "fp16" if torch.cuda.get_device_capability() >= (7, 0) else "fp32"
        )  # tensor cores from Volta on
    if device == "cpu":
        known = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        tiles = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        return "bf16" if known() or tiles() else "fp32"
    return "fp32"


def peak_memory(device: str = "cpu") -> int:
    """The most memory that the process has had at once, bytes; 0 where the system does not say.

    Args:
        device: ``cuda`` for tensors on this process's GPU instead.
    """
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():  # getrusage begins with the peak of the process that started this one
        lines = status.read_text("utf-8").splitlines()
        return 1024 * next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
