"""Small frozen networks in TensorFlow Lite's format, run by LiteRT on the processor.

A LiteRT interpreter must not be shared between threads: every thread that calls a network gets its own, with
one thread of computation, so that several frames are worked on side by side and results do not depend on how
many.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Generator, Sequence
from typing import Any, cast

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from jaxtyping import Float32

from understudy.errors import ShapeError

_making = threading.Lock()
_notices = [b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."]
"""What LiteRT is still going to say in this process; read and emptied under ``_making``."""


class LiteNetwork:
    """A network with one picture as input; any thread may call it.

    Args:
        model: content of a ``.tflite`` file.
        outputs: number of values of each output, in the order in which they are wanted: names and order in
            the files are arbitrary.
    """

    def __init__(self, model: bytes, outputs: Sequence[int]) -> None:
        self._model = model  # interpreters read from it as long as they live
        self._wanted = tuple(outputs)
        self._local = threading.local()
        details = cast("list[dict[str, Any]]", self._interpreter().get_input_details())
        shape = details[0]["shape"]
        self.height, self.width = int(shape[1]), int(shape[2])

    def __call__(self, picture: Float32[np.ndarray, "h w 3"]) -> list[Float32[np.ndarray, "*shape"]]:
        """Run it on one picture of the network's size.

        Args:
            picture: RGB in the range that this network was trained with.

        Returns:
            The outputs in the order of ``outputs``, without the batch axis; copies.
        """
        if picture.shape != (self.height, self.width, 3):
            raise ShapeError("picture", f"({self.height}, {self.width}, 3)", picture.shape)
        interpreter = self._interpreter()
        interpreter.set_tensor(self._local.input, picture[None])
        interpreter.invoke()
        return [interpreter.get_tensor(index)[0] for index in self._local.outputs]

    def _interpreter(self) -> Interpreter:
        """This thread's interpreter."""
        found = getattr(self._local, "interpreter", None)
        if found is None:
            with _without_notice():
                found = Interpreter(model_content=self._model, num_threads=1)
                found.allocate_tensors()
            details = cast("list[dict[str, Any]]", found.get_output_details())
            sizes = {int(np.prod(item["shape"])): item["index"] for item in details}
            self._local.input = found.get_input_details()[0]["index"]
            self._local.outputs = [sizes[size] for size in self._wanted]
            self._local.interpreter = found
        return found


@contextlib.contextmanager
def _without_notice() -> Generator[None, None, None]:
    """Keep LiteRT's one line about its processor backend, which no setting turns off, out of progress bars.

    The first interpreter of a process writes it to standard error from C++; whatever else comes there
    meanwhile is passed on.
    """
    with _making:
        if not _notices:
            yield
            return
        with _diverted():
            yield
        _notices.clear()


@contextlib.contextmanager
def _diverted() -> Generator[None, None, None]:
    """Collect what goes to standard error, then pass on all of it but the notice."""
    try:
        kept = os.dup(2)
    except OSError:  # a process without standard error has nothing to keep clean
        yield
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            for line in file:
                if line.strip() not in _notices:
                    os.write(2, line)
