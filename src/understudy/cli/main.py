"""The entry point: a table of commands, one sentence each; a command's module is imported when it is called.

Exit codes: 0 done, 1 an error that the message explains, 2 a wrong flag, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence

COMMANDS: dict[str, str] = {
    "swap": "Put the source's face into the target's footage: extract, train, merge, in one go.",
    "extract": "Find, align and describe the faces of videos or pictures: footage to face set.",
    "faces": "Say whether a source's faces are enough for a shot, and what they lack.",
    "train": "Train a swapper on two face sets.",
    "pretrain": "Teach a model faces in general, on synthetic people, for other runs to start from.",
    "features": "Train the small network that the perceptual loss and distance see with.",
    "mask": "Train a network on which pixels are face, and write its masks into face sets.",
    "enhance": "Train a network that draws swapped faces larger, on the source's own faces.",
    "models": "Show what there is to train: how it is built, what it costs, what memory it takes.",
    "watch": "Show a run in the terminal while it trains: losses, figures, preview, time left.",
    "merge": "Put a swapper's faces into footage and write the result.",
    "evaluate": "Measure a swapped video, ours or anybody's, and write a page about it.",
    "compare": "Hold swapped videos of one target against each other.",
    "export": "Give a swapper to other programs: ONNX with a model card, DeepFaceLive, DeepFaceLab.",
    "import": "Read a model that DeepFaceLab trained, to merge with it and to train it further.",
    "performers": "Draw synthetic people to a video, with exact ground truth.",
    "consent": "Keep records of who agreed to what; bind face sets to them; withdraw them.",
    "keys": "Show, back up, restore and replace the key that signs results; trust those of others.",
    "verify": "Say what a file is: who signed it, whether it was changed, what was done, with which consent.",
    "audit": "Show what was trained, merged, exported and verified here, and whether that is all of it.",
    "demo": "Draw two performers, swap one into the other and report how near the truth it came.",
    "weights": "List, fetch or import the network weights that finding faces needs.",
    "doctor": "Show what this machine has and what to do about what it lacks.",
}
MODULES = {"import": "convert"}
"""Where a command's name cannot be its module's."""
STOPPED: dict[str, str] = {
    **dict.fromkeys(
        ("swap", "extract", "mask", "enhance", "merge", "demo"),
        "What was done is kept; the same command goes on from here.",
    ),
    **dict.fromkeys(
        ("train", "pretrain", "features"),
        "What was saved is kept; the same command with --run FOLDER goes on from there.",
    ),
}
"""What Ctrl-C leaves behind; the other commands are short and begin anew."""


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [
        "usage: understudy COMMAND [OPTIONS]",
        "",
        "Face replacement for film and video, and for the research that detects it.",
        "",
        "commands:",
        *(f"  {name:<{width}}  {sentence}" for name, sentence in COMMANDS.items()),
        "",
        "understudy COMMAND --help explains a command. Start with:",
        "  understudy swap --source alice.mp4 --target scene.mp4 -o result.mp4",
        "",
        "Only with the consent of the people shown: see RESPONSIBLE_USE.md.",
    ]
    return "\n".join(lines)


@contextlib.contextmanager
def _loading() -> Generator[None]:
    """Within the block Ctrl-C ends the process at once and without a word.

    Nothing is begun yet, and a library that is loading answers an exception with a traceback, or by aborting.
    """
    before = signal.getsignal(signal.SIGINT)
    ours = before is signal.default_int_handler and threading.current_thread() is threading.main_thread()
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)


def _load(name: str) -> Callable[[Sequence[str]], int]:
    """What runs a command."""
    with _loading():
        return importlib.import_module(f"understudy.cli.{MODULES.get(name, name)}").run


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and gives its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help() + "\n")
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        from understudy import __version__

        sys.stdout.write(f"understudy {__version__}\n")
        return 0
    name, *rest = words
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        sys.stderr.write(f"understudy: no command is named {name!r}{hint}\n\n{_help()}\n")
        return 2
    if "-h" in rest or "--help" in rest:
        from understudy.cli import stand_in

        stand_in.install()
    with _loading():
        from understudy.training.process import prepare

        prepare()
        from understudy.cli.show import guarded
    return guarded(lambda: _load(name)(rest), stopped=STOPPED.get(name, "The same command begins anew."))


if __name__ == "__main__":
    sys.exit(main())
