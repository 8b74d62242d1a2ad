"""What goes wrong with footage while it is merged; kills and full disks are in ``tests/test_faults.py``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from merge_footage import (
    FRAMES,
    Footage,
    frame_of,
    make_faces,
    make_footage,
    make_swapper,
    one_face,
    pictures_of,
)
from understudy import config
from understudy.blends.feather import Feather
from understudy.errors import ConfigError, FaceSetError, NoFaceError, VideoError
from understudy.events import StageDone, Warned
from understudy.pipelines.compositing.settings import CompositeSettings
from understudy.pipelines.merging.merge import MergeSettings, merge
from understudy.pipelines.merging.plan import MergePlan
from understudy.video.encoding import Encoding
from understudy.video.reader import VideoReader
from understudy.video.writer import VideoWriter

PLAIN = MergeSettings(
    segment=16,
    composite=CompositeSettings(blend=Feather()),
    encode=Encoding(lossless=True, preset="ultrafast"),
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run(footage: Footage, output: Path, settings: MergeSettings = PLAIN, **more) -> list:
    return list(merge(footage.swapper, footage.target, footage.faces, output, settings, **more))


def warnings_of(events: list) -> str:
    return " | ".join(event.message for event in events if isinstance(event, Warned))


def summary_of(events: list) -> dict:
    assert isinstance(events[-1], StageDone)
    return dict(events[-1].summary)


def planes(video: Path) -> list[np.ndarray]:
    with VideoReader(video) as reader:
        return [frame.planes[0] for frame in reader.frames()]


def colors(video: Path) -> list[np.ndarray]:
    """Cb of every frame: the invisible mark is in the luma alone."""
    with VideoReader(video) as reader:
        return [frame.planes[1] for frame in reader.frames()]


def crowd(index: int) -> list[tuple[float, float, float]]:
    return [(16 + 24 * (n % 6), 12 + 24 * (n // 6), 0.08) for n in range(30)]


def test_thirty_faces_in_a_frame(tmp_path):
    footage = make_footage(tmp_path, frames=4, place=crowd)
    everybody = tuple(range(30))
    events = run(footage, tmp_path / "out.mp4", persons=everybody)
    assert summary_of(events)["frames_by_number_of_faces"] == {"30": 4}
    plate, result = planes(footage.target)[2], planes(tmp_path / "out.mp4")[2]
    for x, y, _ in crowd(2):
        spot = np.s_[int(y) - 4 : int(y) + 4, int(x) - 4 : int(x) + 4]
        assert np.abs(plate[spot].astype(int) - result[spot]).max() > 2


def test_frames_without_a_face_pass_and_are_named(tmp_path):
    bare = {0, 1, 2, 9, *range(15, 18)}
    footage = make_footage(tmp_path, frames=20, place=lambda n: [] if n in bare else one_face(n))
    without_marks = dataclasses.replace(PLAIN, segment=8)
    events = run(footage, tmp_path / "out.mp4", without_marks)
    assert summary_of(events)["frames_without_a_face"] == 7
    assert summary_of(events)["without_a_face"] == {"frames": [[0, 3], [9, 10], [15, 18]]}
    assert "7 frames have no face to swap and are as they were: 0 to 2, 9, 15 to 17" in warnings_of(events)


def test_no_face_at_all_is_refused(tmp_path):
    footage = make_footage(tmp_path, frames=4, place=lambda n: [])
    with pytest.raises(NoFaceError, match=r"no face of scene.mp4|has the persons"):
        run(footage, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_a_swapper_of_another_crop_mode_swaps_in_its_own(tmp_path):
    """The face set was made with whole faces; the swapper sees half ones, and changes less of the frame."""
    footage = make_footage(tmp_path, frames=3)
    half = footage._replace(swapper=make_swapper(tmp_path / "half", "half"))
    changed = []
    for name, each in (("whole", footage), ("half", half)):
        (tmp_path / name).mkdir(exist_ok=True)
        run(each, tmp_path / name / "out.mp4")
        plate, result = planes(footage.target)[1], planes(tmp_path / name / "out.mp4")[1]
        middle = np.abs(plate.astype(int) - result)[30:100, 40:120]
        changed.append(int((middle > 3).sum()))
    assert 0 < changed[1] < changed[0]


def test_a_change_of_size_in_the_middle_is_told_with_its_frame(tmp_path):
    """Two streams of different size, one behind the other, as a recorder makes them that was turned."""
    target = tmp_path / "scene.h264.mkv"
    raw = tmp_path / "both.h264"
    with raw.open("wb") as file:
        for size in ((160, 120), (120, 160)):
            part = tmp_path / f"{size[0]}.mkv"
            with VideoWriter(part, encoding=Encoding(preset="ultrafast", options=("g=4",))) as writer:
                for index in range(8):
                    frame = dataclasses.replace(frame_of(index, size=(160, 160)), pts=index)
                    cut = tuple(
                        np.ascontiguousarray(plane[: size[1] // step, : size[0] // step])
                        for plane, step in zip(frame.planes, (1, 2, 2), strict=True)
                    )
                    writer.write(dataclasses.replace(frame, planes=cut))
            file.write(annex_b(part))
    remux(raw, target)
    faces = make_faces(tmp_path / "faces", target, 16)
    footage = Footage(target, faces, make_swapper(tmp_path))
    with pytest.raises(VideoError, match=r"frame 8 is 120 × 160.*160 × 120"):
        run(footage, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def annex_b(video: Path) -> bytes:
    """The pictures of a file as a raw H.264 stream."""
    import av
    from av.bitstream import BitStreamFilterContext

    with av.open(str(video)) as source:
        stream = source.streams.video[0]
        convert = BitStreamFilterContext("h264_mp4toannexb", stream)
        packets = [p for p in source.demux(stream) if p.size]
        return b"".join(bytes(out) for p in packets for out in convert.filter(p))


def remux(raw: Path, target: Path) -> None:
    import av

    with av.open(str(raw), format="h264") as source, av.open(str(target), "w", format="matroska") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            packet.pts = packet.dts = 40 * number
            packet.time_base = "1/1000" and __import__("fractions").Fraction(1, 1000)
            packet.stream = stream
            out.mux_one(packet)


@pytest.mark.parametrize("told", [8, 200])
def test_an_index_that_is_wrong(tmp_path, monkeypatch, told):
    """The number of frames that is known before reading is only for the bar."""
    footage = make_footage(tmp_path)
    from understudy.video import reader as module

    real = module.probe
    monkeypatch.setattr(
        module, "probe", lambda path: dataclasses.replace(real(path), frames=told, frames_exact=False)
    )
    events = run(footage, tmp_path / "out.mkv")
    assert summary_of(events)["frames"] == FRAMES
    assert len(list(pictures_of(tmp_path / "out.mkv"))) == FRAMES


def test_broken_frames_in_the_middle_end_it_there_and_are_named(tmp_path):
    footage = make_footage(tmp_path, name="scene.mkv")
    data = bytearray(footage.target.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    footage.target.write_bytes(bytes(data))
    faces = make_faces(tmp_path / "faces2", footage.target, FRAMES)
    events = run(footage._replace(faces=faces), tmp_path / "out.mkv")
    frames = summary_of(events)["frames"]
    assert 8 < frames < FRAMES
    assert f"damaged at frame {frames}" in warnings_of(events)
    assert len(list(pictures_of(tmp_path / "out.mkv"))) == frames


def test_a_part_of_the_footage_is_what_the_whole_has_there(tmp_path):
    footage = make_footage(tmp_path)
    master = dataclasses.replace(PLAIN, master=True)  # the mark's pattern begins with what is rendered
    for name in ("whole", "part"):
        (tmp_path / name).mkdir()
    run(footage, tmp_path / "whole" / "out.mp4", master)
    part = dataclasses.replace(master, segment=9)
    events = run(footage, tmp_path / "part" / "out.mp4", part, frames=(11, 31))
    assert summary_of(events)["frames"] == 20
    assert (
        list(pictures_of(tmp_path / "part" / "out.mp4"))
        == list(pictures_of(tmp_path / "whole" / "out.mp4"))[11:31]
    )
    with VideoReader(tmp_path / "part" / "out.mp4") as reader:
        times = [frame.time for frame in reader.frames()]
    np.testing.assert_allclose(times, np.arange(20) / 25)
    with pytest.raises(ConfigError, match=r"frames: 90 was wanted and the footage has 40"):
        run(footage, tmp_path / "out.mp4", frames=(90, None))


def test_settings_and_swappers_by_frame_and_person(tmp_path):
    """Person 0 is left alone from frame 5 on; person 1 has a swapper of its own."""
    footage = make_footage(tmp_path, frames=8, place=lambda n: [(45, 60, 0.2), (115, 60, 0.2)])
    other = make_swapper(tmp_path, seed=1, white=True)
    text = {
        "version": 1,
        "range": [{"frames": "5:", "person": 0, "mask": {"erode": 0.5}}],
        "cast": [{"person": 1, "swapper": str(other)}],
    }
    plan = MergePlan(text, tmp_path / "merge.toml")
    two = make_faces(tmp_path / "two", footage.target, 8, lambda n: [(45, 60, 0.2), (115, 60, 0.2)])
    settings = config.merge(PLAIN, {"composite": {"color_transfer": "none", "mask": {"source": "hull"}}})
    outputs = {}
    for name, more in (("plain", {"persons": (0, 1)}), ("planned", {"plan": plan})):
        (tmp_path / name).mkdir()
        output = tmp_path / name / "out.mp4"
        events = run(footage._replace(faces=two), output, settings, **more)
        assert summary_of(events)["frames_by_number_of_faces"] == {"2": 8}
        outputs[name] = colors(output)
    lighter = (
        planes(tmp_path / "planned" / "out.mp4")[3].astype(int) - planes(tmp_path / "plain" / "out.mp4")[3]
    )
    plate = colors(footage.target)
    left = np.s_[26:34, 20:25]

    def changed(a, b, part):
        return np.abs(a[part].astype(int) - b[part]).max()

    plain, planned = outputs["plain"], outputs["planned"]
    assert changed(plain[6], plate[6], left) > 2
    assert changed(planned[6], plate[6], left) == 0
    assert changed(planned[3], plain[3], left) == 0
    assert lighter[55:65, 110:120].mean() > 60  # another swapper drew it
    assert abs(lighter[55:65, 40:50]).mean() < 3


def test_the_face_set_of_another_file_is_refused(tmp_path):
    footage = make_footage(tmp_path, frames=4)
    footage.target.write_bytes(footage.target.read_bytes() + b"more")
    with pytest.raises(FaceSetError, match="another file"):
        run(footage, tmp_path / "out.mp4")
