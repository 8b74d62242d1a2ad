from __future__ import annotations

import pytest
from drawn_footage import encoded, footage

from understudy.provenance.spread import SpreadMarker
from understudy.provenance.strengthen import LEAST, strengthen, through
from understudy.video.encoding import Encoding

NUMBER = 0x1234


def test_a_mark_grows_until_it_survives_its_codec():
    frames = footage(6, 384, 256)
    before = SpreadMarker(b"k" * 32)
    found = strengthen(before, frames, lambda marked: encoded(list(marked), 32), NUMBER, rounds=2)
    assert found.rounds == 2
    assert len(found.heard) == 3
    assert found.heard[-1] > found.heard[0] + 0.02
    assert LEAST <= found.psnr == pytest.approx(before.decibels(frames[0])[0] - 1.4)


def test_what_is_strong_enough_stays_as_it_is():
    frames = footage(2, 256, 192)
    before = SpreadMarker(b"k" * 32, psnr=40.0)
    found = strengthen(before, frames, lambda marked: marked, NUMBER)
    assert found.psnr == 40.0


def test_an_encoder_of_ours_is_a_codec():
    frames = footage(3, 128, 96)
    out = through(Encoding(codec="h264", quality=30))(frames)
    assert [frame.index for frame in out] == [0, 1, 2]
    assert (out[0].planes[0] != frames[0].planes[0]).any()
