"""Python's pickles of plain data and numpy arrays, read without running any of them.

A pickle is a program; Python's own reader calls whatever it names. This reader is another machine: it knows
the instructions that plain data and arrays are made of, and five names of numpy, for which it does the work
itself. Nothing is ever imported or called for a file. Whatever else a file asks for is refused by name.

Arrays are held to what the file has: an array is as large as the bytes that stand there for it.
"""

from __future__ import annotations

import math
import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from understudy.errors import DataError

LARGEST = 8 << 30
"""Bytes of the largest file that is read."""
_DEEPEST = 32
"""Levels of lists in lists that are followed."""
_DTYPES = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})
_NUMPY = {
    f"numpy.{core}.{module} {name}": name
    for core in ("core", "_core")  # before and since numpy 2
    for module, name in (
        ("multiarray", "_reconstruct"),
        ("multiarray", "scalar"),
        ("numeric", "_frombuffer"),
    )
} | {"numpy ndarray": "ndarray", "numpy dtype": "dtype"}
_SIMPLE = frozenset(
    {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BYTEARRAY8"}
    | {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"}
)
"""Instructions that put their own argument on the stack."""
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


def read_pickle(path: Path, *, largest: int = LARGEST) -> Any:  # noqa: ANN401  # plain data of any shape
    """What a file holds: dicts, lists, tuples, numbers, texts, bytes, and arrays in the machine's byte order.

    Args:
        path: the file, pickle protocols 2 to 5.
        largest: bytes above which the file is not even opened.

    Raises:
        DataError: missing, too large, torn, or it asks for anything but plain data and arrays.
    """
    machine = _Machine(path)
    _run(machine, largest)
    return _settle(path, machine.result)


def read_entries(path: Path, keys: tuple[str, ...], *, largest: int = LARGEST) -> dict[str, Any]:
    """Some entries of a file that holds one dict; reading ends as soon as they are known.

    What stands behind the last of them is not read: DeepFaceLab keeps faces there.

    Args:
        path: the file.
        keys: the entries; those that the file lacks are missing in the answer.
        largest: bytes above which the file is not even opened.

    Raises:
        DataError: as ``read_pickle``, or it does not hold a dict.
    """
    machine = _Machine(path, wanted=frozenset(keys))
    _run(machine, largest)
    if not isinstance(machine.result, dict):
        raise DataError(f"{path}: wanted a dict of settings, got {type(machine.result).__name__}")
    found = cast("dict[Any, Any]", machine.result)
    return {key: _settle(path, found[key]) for key in keys if key in found}


# ------------------------------------------------------------------------------------------------ the machine


class _Mark:
    """Where a list of arguments begins on the stack."""


@dataclass(eq=False)
class _Name:
    """A name that the file asked for and that is allowed."""

    word: str


@dataclass(eq=False)
class _Type:
    """An array's type, before and after its byte order is known."""

    code: str
    order: str = "="

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.order.replace("|", "=") + self.code)


@dataclass(eq=False)
class _Array:
    """An array in the making."""

    value: np.ndarray | None = None


class _RefusedError(Exception):
    """The file is not what we read; the message says why."""


class _Machine:
    """Runs the instructions of one file.

    Args:
        path: named in messages.
        wanted: stop when these entries of the outermost dict are known; empty for the whole file.
    """

    def __init__(self, path: Path, wanted: frozenset[str] = frozenset()) -> None:
        self.path, self.wanted = path, wanted
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.result: Any = None

    def run(self, file: _Reader) -> None:
        """Every instruction until the end of the pickle.

        Raises:
            _RefusedError: one of them is none of ours.
        """
        for code, argument, _ in pickletools.genops(cast("BinaryIO", file)):
            name = code.name
            if name == "STOP":
                (self.result,) = self.stack
                return
            if name in _SIMPLE:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif (act := getattr(self, f"do_{name.lower()}", None)) is not None:
                act(argument)
            else:
                raise _RefusedError(f"the instruction {name}")
            if self.wanted and self._known():
                return
        raise _RefusedError("no end")

    def _known(self) -> bool:
        """Whether every wanted entry is complete: something stands behind it on the stack."""
        stack = self.stack
        if len(stack) < 5 or not isinstance(stack[-1], str) or stack[0] != {} or len(stack) % 2 == 0:
            return False
        if not isinstance(stack[1], _Mark) or any(isinstance(item, _Mark) for item in stack[2:]):
            return False
        entries = dict(zip(stack[2:-1:2], stack[3:-1:2], strict=True))
        if self.wanted <= entries.keys():
            self.result = entries
            return True
        return False

    def _items(self) -> list[Any]:
        """What stands above the last mark; both are taken away."""
        for index in range(len(self.stack) - 1, -1, -1):
            if isinstance(self.stack[index], _Mark):
                items = self.stack[index + 1 :]
                del self.stack[index:]
                return items
        raise _RefusedError("a list without a beginning")

    # One method an instruction; ``pickletools`` describes each.

    def do_proto(self, argument: int) -> None:
        if not 2 <= argument <= 5:
            raise _RefusedError(f"protocol {argument}")

    def do_frame(self, argument: int) -> None:
        """Only says how much comes."""

    def do_mark(self, argument: None) -> None:
        self.stack.append(_Mark())

    def do_pop(self, argument: None) -> None:
        self.stack.pop()

    def do_empty_dict(self, argument: None) -> None:
        self.stack.append({})

    def do_empty_list(self, argument: None) -> None:
        self.stack.append([])

    def do_empty_tuple(self, argument: None) -> None:
        self.stack.append(())

    def do_tuple(self, argument: None) -> None:
        self.stack.append(tuple(self._items()))

    def do_tuple1(self, argument: None) -> None:
        self._tuple(1)

    def do_tuple2(self, argument: None) -> None:
        self._tuple(2)

    def do_tuple3(self, argument: None) -> None:
        self._tuple(3)

    def _tuple(self, count: int) -> None:
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def do_append(self, argument: None) -> None:
        item = self.stack.pop()
        self._list().append(item)

    def do_appends(self, argument: None) -> None:
        items = self._items()
        self._list().extend(items)

    def _list(self) -> list[Any]:
        if not isinstance(self.stack[-1], list):
            raise _RefusedError("an entry for what is no list")
        return cast("list[Any]", self.stack[-1])

    def do_setitem(self, argument: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._fill([key, value])

    def do_setitems(self, argument: None) -> None:
        self._fill(self._items())

    def _fill(self, items: list[Any]) -> None:
        table = self.stack[-1]
        if not isinstance(table, dict) or len(items) % 2:
            raise _RefusedError("an entry for what is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, (str, int)):
                raise _RefusedError(f"a dict's key that is a {type(key).__name__.strip('_').lower()}")
            cast("dict[Any, Any]", table)[key] = value

    def do_memoize(self, argument: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_put(self, argument: int) -> None:
        self.memo[argument] = self.stack[-1]

    do_binput = do_long_binput = do_put

    def do_get(self, argument: int) -> None:
        self.stack.append(self.memo[argument])

    do_binget = do_long_binget = do_get

    def do_global(self, argument: str) -> None:
        if argument not in _NUMPY:
            raise _RefusedError(f"{argument.replace(' ', '.')}")
        self.stack.append(_Name(_NUMPY[argument]))

    def do_stack_global(self, argument: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.do_global(f"{module} {name}")

    def do_reduce(self, argument: None) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, _Name) or not isinstance(arguments, tuple):
            raise _RefusedError(f"a call of {called!r}")
        self.stack.append(_call(called.word, cast("tuple[Any, ...]", arguments)))

    def do_build(self, argument: None) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        if isinstance(made, _Type):
            _, order, *rest = state
            if order not in ("<", ">", "|", "=") or any(part is not None for part in rest[:3]):
                raise _RefusedError("an array with named fields")
            made.order = order
        elif isinstance(made, _Array) and made.value is None:
            _, shape, kind, by_column, data = state
            made.value = _array(data, kind, shape, by_column=by_column)
        else:
            raise _RefusedError(f"an object with a state ({type(made).__name__})")


def _call(word: str, arguments: tuple[Any, ...]) -> object:
    """What the file's call of an allowed name gives."""
    if word == "_reconstruct":
        return _Array()
    if word == "dtype":
        code = arguments[0]
        if code not in _DTYPES:
            raise _RefusedError(f"an array of the type {code!r}")
        return _Type(code)
    if word == "scalar":
        kind, data = arguments
        return _array(data, kind, (), by_column=False).item()
    if word == "_frombuffer":
        data, kind, shape, order = arguments
        return _Array(_array(data, kind, shape, by_column=order == "F"))
    raise _RefusedError(f"a call of numpy.{word}")


def _array(
    data: object,
    kind: object,
    shape: object,
    *,
    by_column: bool,
) -> np.ndarray:
    """Bytes as an array in the machine's byte order.

    Raises:
        _RefusedError: the bytes are not as many as the shape says.
    """
    if (
        not isinstance(kind, _Type)
        or not isinstance(data, (bytes, bytearray))
        or not isinstance(shape, tuple)
    ):
        raise _RefusedError("an array that is not made of plain numbers")
    sides = cast("tuple[Any, ...]", shape)
    if not all(type(side) is int and side >= 0 for side in sides) or len(sides) > _DEEPEST:
        raise _RefusedError(f"an array of the shape {sides}")
    if math.prod(sides) * kind.dtype.itemsize != len(data):
        raise _RefusedError(f"an array of the shape {sides} with {len(data)} bytes")
    flat = np.frombuffer(data, kind.dtype).astype(kind.dtype.newbyteorder("="), copy=False)
    return flat.reshape(sides, order="F" if by_column else "C")


# ------------------------------------------------------------------------------------------------ the file


class _Reader:
    """A file that never sets memory aside for more than it has, however long its next piece is said to be."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def read(self, count: int) -> bytes:
        """At most ``count`` bytes."""
        return self._file.read(min(count, self._size))

    def readline(self) -> bytes:
        """Up to the next line break; names are short."""
        return self._file.readline(1000)


def _run(machine: _Machine, largest: int) -> None:
    """Run a file's instructions; what goes wrong becomes a sentence with the file's name."""
    path = machine.path
    try:
        size = path.stat().st_size
        if size > largest:
            raise DataError(f"{path}: {size / 1e9:.1f} GB; at most {largest / 1e9:.1f} GB are read")
        with path.open("rb") as file:
            machine.run(_Reader(file, size))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except _RefusedError as error:
        raise DataError(
            f"{path}: a pickle that asks for {error}; only plain data and numpy arrays are read, because "
            "anything else can be a stranger's program. If you trust where it comes from, have it saved anew"
        ) from None
    except (ValueError, TypeError, LookupError, OverflowError, MemoryError) as error:
        raise DataError(f"{path}: not a pickle, or torn ({error})") from None


def _settle(path: Path, value: object) -> object:
    """The finished data, with arrays in place of what they were made from."""
    done: dict[int, Any] = {}

    def visit(item: object, depth: int) -> object:
        if depth > _DEEPEST:
            raise DataError(f"{path}: lists in lists, {_DEEPEST} deep or without end")
        if not isinstance(item, (dict, list, tuple, _Array, _Name, _Type, _Mark)):
            return item
        if id(item) not in done:  # what is named twice is visited once: lists of lists do not multiply
            done[id(item)] = make(cast("object", item), depth)
        return done[id(item)]

    def make(item: object, depth: int) -> object:
        match item:
            case dict():
                table = cast("dict[Any, Any]", item)
                return {key: visit(entry, depth + 1) for key, entry in table.items()}
            case list():
                return [visit(entry, depth + 1) for entry in cast("list[Any]", item)]
            case tuple():
                return tuple(visit(entry, depth + 1) for entry in cast("tuple[Any, ...]", item))
            case _Array(value=np.ndarray() as array):
                return array
            case _:
                raise DataError(f"{path}: a pickle of no data ({type(item).__name__.strip('_').lower()})")

    return visit(value, 0)
