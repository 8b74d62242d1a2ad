"""A program for test_faults: trains in forked children, each stopped somewhere, and says how they end.

Arguments: folder, steps. Reads lines ``name fault`` or ``name fault steps`` from its input. The fault is one
of ``durable``'s, or ``size=BYTES`` for a limit on the size of files, or ``kill=SECONDS`` for SIGKILL when so
much time has passed. A child that is not killed ends with 0, or with 3 after an ``UnderstudyError``, whose
message goes to ``<folder>/<name>.txt``.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from pathlib import Path

import torch
from small_run import TextureTask, make_trainer

import understudy.training.loop  # noqa: F401  # loaded once, before the forks
from understudy.errors import UnderstudyError
from understudy.training.optim import OptimizerSettings, Stepper


def train(folder: Path, name: str, fault: str, steps: int) -> int:
    kind, _, limit = fault.partition("=")
    if kind == "size":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    elif kind not in ("none", "kill"):
        os.environ["UNDERSTUDY_FAULT"] = fault
    try:
        optimizer = OptimizerSettings(warm_up=5, schedule="constant")  # whatever the number of steps
        settings = {"task": TextureTask(), "optimizer": optimizer, "save_every": 1e-6, "keep": 1}
        trainer = make_trainer(folder / name, steps=steps, **settings)
        for _ in trainer.train():
            pass
    except UnderstudyError as error:
        (folder / f"{name}.txt").write_text(str(error))
        return 3
    return 0


def main() -> None:
    torch.set_num_threads(1)
    # what torch loads at an optimiser's first step is loaded once; nothing may run backward before a fork
    stepper = Stepper(OptimizerSettings(), TextureTask().module)
    for parameter in stepper.parameters:
        parameter.grad = torch.zeros_like(parameter)
    stepper.step(0.0)
    folder, steps = Path(sys.argv[1]), int(sys.argv[2])
    for line in sys.stdin:
        name, fault, *more = line.split()
        child = os.fork()
        if not child:
            os._exit(train(folder, name, fault, int(more[0]) if more else steps))
        if fault.startswith("kill="):
            time.sleep(float(fault.removeprefix("kill=")))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{name} {os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


main()
