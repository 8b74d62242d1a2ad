"""Real commands in forked children, so that torch is loaded once: a JSON line in, one out.

A command is ``{"arguments": […], "environment": {…}, "file_size": bytes or null}``; the answer is
``{"code": exit code, negative for a signal, "text": what it printed}``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import traceback

import cv2
import torch

import understudy.cli.demo
import understudy.cli.extract
import understudy.cli.merge
import understudy.cli.performers
import understudy.cli.swap
import understudy.cli.train  # noqa: F401  # loaded once, before the forks
from understudy.cli.main import main

torch.set_num_threads(1)
cv2.setNumThreads(1)


def child(request: dict, output: int) -> None:
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(request.get("environment", {}))
    if request.get("file_size"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_size"], request["file_size"]))
    code = 70
    try:
        code = main(request["arguments"])
    except SystemExit as end:
        code = int(end.code or 0)
    except Exception:  # noqa: BLE001  # the test shows it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


for line in sys.stdin:
    with tempfile.TemporaryFile() as output:
        number = os.fork()
        if not number:
            child(json.loads(line), output.fileno())
        _, status = os.waitpid(number, 0)
        output.seek(0)
        text = output.read().decode(errors="replace")
    answer = {"code": os.waitstatus_to_exitcode(status), "text": text}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
