"""Every error that understudy raises on purpose, in one tree.

    UnderstudyError                what a user can act on; the command line prints it without a traceback
    ├── ConfigError (ValueError)   a setting that does not exist or does not fit; holds the dotted path
    ├── DataError                  input that cannot be used
    │   ├── VideoError             a file that is no video, or is damaged, or cannot be written as asked
    │   ├── NoFaceError            footage in which no face was found, or not enough of them
    │   ├── FaceSetError           a face set that is missing, foreign or inconsistent
    │   └── ConsentError           a consent record that is withdrawn, has ended, or forbids it
    ├── OutputError                a place that cannot be written: permissions, space, a wrong container
    ├── PluginError (LookupError)  a name that no plugin has, or a plugin that breaks its contract
    ├── WeightsError               a weight file that is missing, unreachable or not what its hash says
    ├── CheckpointError            a checkpoint that is incomplete, altered or of another model
    └── ShapeError (ValueError)    an array of the wrong shape, with what was wanted and what came

A message says what was wanted, what came and what to do. Programmer's mistakes are ``assert``.
"""

from __future__ import annotations


class UnderstudyError(Exception):
    """What a user can act on; the command line prints it without a traceback."""


class ConfigError(UnderstudyError, ValueError):
    """A setting that does not exist or does not fit; the message holds its full dotted path."""


class DataError(UnderstudyError):
    """Input that cannot be used."""


class VideoError(DataError):
    """A file that is no video, or is damaged, or cannot be written as asked."""


class NoFaceError(DataError):
    """Footage in which no face was found, or not enough of them."""


class FaceSetError(DataError):
    """A face set that is missing, foreign or inconsistent."""


class ConsentError(DataError):
    """A consent record that is withdrawn, has ended, was altered, or does not cover the use."""


class OutputError(UnderstudyError):
    """A place that cannot be written: permissions, space, a container that cannot hold the content."""


class PluginError(UnderstudyError, LookupError):
    """A name that no plugin has, or a plugin that breaks its contract."""


class WeightsError(UnderstudyError):
    """A weight file that is missing, unreachable or not what its hash says."""


class CheckpointError(UnderstudyError):
    """A checkpoint that is incomplete, altered or of another model."""


class ShapeError(UnderstudyError, ValueError):
    """An array of the wrong shape.

    Args:
        what: the argument's name.
        wanted: the shape that was wanted, in words ("(B, 3, S, S)").
        came: the shape that came.
    """

    def __init__(self, what: str, wanted: str, came: tuple[int, ...]) -> None:
        super().__init__(f"{what}: wanted shape {wanted}, got {came}")
