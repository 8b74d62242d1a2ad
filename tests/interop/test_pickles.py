from __future__ import annotations

import collections
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from understudy.errors import DataError
from understudy.interop.pickles import read_entries, read_pickle
from understudy.interop.pickling import encode


def written(folder: Path, data: bytes) -> Path:
    path = folder / "model.npy"
    path.write_bytes(data)
    return path


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        return (
            isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
        )
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


PLAIN = {
    "weight:0": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "by column": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "half": np.ones(3, np.float16),
    "whole": np.array([1, -2], np.int64),
    "bytes": np.zeros((2, 2, 3), np.uint8),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 4), np.float32),
    "zero axes": np.array(3.0, np.float32),
    "list": [1, -70000, 2**40, 0.5, "text ä", None, True, False, [], {}, ()],
    "tuple": (1, (2, 3), (1, 2, 3, 4, 5)),
    7: [[0.5, 0.25]] * 3,
}


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_plain_data_and_arrays_are_read_as_python_would(protocol, tmp_path):
    path = written(tmp_path, pickle.dumps(PLAIN, protocol))
    assert same(PLAIN, read_pickle(path))


def test_both_spellings_of_numpys_modules(tmp_path):
    new = pickle.dumps({"a": np.arange(3.0)}, 3)
    assert b"numpy._core.multiarray\n" in new
    old = new.replace(b"numpy._core.", b"numpy.core.")
    for data in (old, new):
        assert same({"a": np.arange(3.0)}, read_pickle(written(tmp_path, data)))


def test_numpys_scalars_become_pythons_numbers(tmp_path):
    options = {"dims": np.int64(64), "power": np.float32(0.5), "warp": np.bool_(True), "archi": "df-ud"}
    assert same(
        {"dims": 64, "power": 0.5, "warp": True, "archi": "df-ud"},
        read_pickle(written(tmp_path, pickle.dumps(options, 3))),
    )


def test_big_endian_arrays_are_turned(tmp_path):
    array = np.arange(5, dtype=">f4")
    read = read_pickle(written(tmp_path, pickle.dumps([array], 4)))[0]
    assert read.dtype == np.dtype("=f4")
    assert read.tolist() == [0, 1, 2, 3, 4]


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


class Setting:
    def __init__(self):
        self.a = 1


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Evil(), r"(posix|nt)\.system"),
        (Setting(), r"test_pickles.*Setting|copyreg"),
        ({1, 2}, "EMPTY_SET|builtins.set"),
        (collections.OrderedDict(a=1), "collections.OrderedDict"),
        (np.array([None, "x"], object), "type 'O8'"),
        (np.array(["text"]), "type 'U4'"),
        (np.zeros(2, [("a", "f4")]), "type 'V4'"),
        (print, "builtins.print"),
        (np.load, "numpy.load"),
    ],
    ids=["system", "class", "set", "ordered", "objects", "texts", "records", "function", "load"],
)
@pytest.mark.parametrize("protocol", [3, 4])
def test_anything_else_is_refused_by_name_and_never_run(value, named, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, pickle.dumps({"a": [value]}, protocol))
    with pytest.raises(DataError, match=named) as caught:
        read_pickle(path)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "evil").exists()


def test_every_truncation_and_many_changed_bytes_end_in_our_error(tmp_path):
    data = pickle.dumps({"w": np.arange(6, dtype=np.float32), "n": [1, 2.0, np.int64(3)]}, 4)
    for end in range(0, len(data), 3):
        with pytest.raises(DataError):
            read_pickle(written(tmp_path, data[:end]))
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(250):
        broken = bytearray(data)
        broken[random.integers(len(data))] = random.integers(256)
        try:
            read_pickle(written(tmp_path, bytes(broken)))
        except DataError:
            refused += 1
    assert refused > 60


def test_a_piece_that_says_it_is_huge_takes_no_memory(tmp_path):
    lie = b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"abc."
    with pytest.raises(DataError, match="torn"):
        read_pickle(written(tmp_path, lie))


def test_an_array_larger_than_its_bytes_is_refused(tmp_path):
    data = pickle.dumps(np.zeros((2, 3), np.float32), 4)
    assert data.count(b"K\x02K\x03\x86") == 1
    lie = data.replace(b"K\x02K\x03\x86", b"K\xffK\xff\x86")
    with pytest.raises(DataError, match=r"shape \(255, 255\) with 24 bytes"):
        read_pickle(written(tmp_path, lie))


def test_lists_that_multiply_or_hold_themselves_end(tmp_path):
    level: list = [0]
    for _ in range(25):
        level = [level] * 10  # ten to the twenty-fifth entries when written out
    read = read_pickle(written(tmp_path, pickle.dumps(level, 4)))
    assert len(read) == 10
    assert read[0] is read[9]
    own: list = []
    own.append(own)
    with pytest.raises(DataError, match="without end"):
        read_pickle(written(tmp_path, pickle.dumps(own, 4)))


def test_files_that_are_too_large_or_missing(tmp_path):
    path = written(tmp_path, pickle.dumps([1] * 100, 4))
    with pytest.raises(DataError, match="at most"):
        read_pickle(path, largest=10)
    with pytest.raises(DataError, match="cannot be read"):
        read_pickle(tmp_path / "none.npy")
    with pytest.raises(DataError, match=r"torn|protocol|instruction"):
        read_pickle(written(tmp_path, b"\x93NUMPY\x01\x00v\x00{'descr'"))


@pytest.mark.parametrize("protocol", [3, 4])
def test_entries_are_read_without_what_stands_behind_them(protocol, tmp_path):
    """Everything after the wanted entries may be anything: it is not looked at."""
    data = pickle.dumps(
        {"iter": 5, "options": {"archi": "df", "l": [1, [2]]}, "loss_history": [[1.0, 2.0]], "faces": Evil()},
        protocol,
    )
    path = written(tmp_path, data)
    found = read_entries(path, ("options", "iter"))
    assert found == {"options": {"archi": "df", "l": [1, [2]]}, "iter": 5}
    with pytest.raises(DataError, match="system"):
        read_entries(path, ("iter", "choosed_gpu_indexes"))
    whole = written(tmp_path, pickle.dumps({"options": {}, "iter": 1}, protocol))
    assert read_entries(whole, ("iter", "none")) == {"iter": 1}
    with pytest.raises(DataError, match="wanted a dict"):
        read_entries(written(tmp_path, pickle.dumps([1], protocol)), ("iter",))


def test_what_we_write_python_and_we_read_back(tmp_path):
    value = {str(key): entry for key, entry in PLAIN.items()}
    data = b"".join(encode(value))
    assert same(pickle.loads(data), value)
    assert same(read_pickle(written(tmp_path, data)), value)
    assert b"_core" not in data
