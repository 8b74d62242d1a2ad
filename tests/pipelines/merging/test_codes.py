"""Codes averaged along tracks, and the target's own mask: in parts as in one go, and who has neither."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from drawn_frames import face_at
from merge_footage import Footage, frame_of, make_footage, one_face, packets_of
from understudy.config import dump
from understudy.config import merge as changed
from understudy.contracts import Frame
from understudy.errors import ConfigError
from understudy.events import Progress
from understudy.faces.faceset import FaceSet
from understudy.image.warp import crop_frame
from understudy.models import MODELS
from understudy.pipelines.compositing.layers import FaceJob
from understudy.pipelines.compositing.settings import CompositeSettings, TemporalSettings
from understudy.pipelines.merging.codes import CodeAverager, FaceGroup
from understudy.pipelines.merging.faces import FaceMerge, SameForAll, SwapStage, check_model
from understudy.pipelines.merging.merge import MergeSettings, merge, parts_folder
from understudy.pipelines.merging.plan import MergePlan
from understudy.pipelines.merging.render import Renderer, RenderOrder
from understudy.pipelines.merging.segments import render_key
from understudy.pipelines.setup import make_context
from understudy.pipelines.swapper import Swapper
from understudy.video.encoding import Encoding
from understudy.video.reader import VideoReader

FRAMES, BLOCK = 20, 8
PLAIN = {"color_transfer": "reinhard", "blend": "feather", "mask": {"source": "hull"}}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch):
    """Few frames are enough to begin in the middle."""
    monkeypatch.setattr("understudy.pipelines.merging.faces.BLOCK", BLOCK)


# ------------------------------------------------------------------------------------------- what is averaged


class Mirror(nn.Module):
    """A model whose code is what it is shown."""

    resolution = output_resolution = 2

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.calls: list[int] = []

    def reconstruct(self, source, target):
        raise AssertionError("it does not learn")

    def code(self, target):
        self.calls.append(len(target))
        return target.flatten(1)

    def draw(self, code):
        face = code.unflatten(1, (3, 2, 2))
        return face, face[:, :1]

    def swap(self, target):
        return self.draw(self.code(target))


@pytest.fixture
def mirror() -> Swapper:
    return Swapper(Mirror(), MODELS["df"](resolution=16, options=""))


def shown(seed: int, light: float = 0.5) -> torch.Tensor:
    """A crop whose mean colour is always the same."""
    crop = torch.from_numpy(np.random.default_rng(seed).uniform(-0.2, 0.2, (3, 2, 2)).astype(np.float32))
    return crop - crop.mean((1, 2), keepdim=True) + light


def group(
    frames: list[int], tracks: dict[int, list[int]], reach: int, batch: int = 3, light: float = 0.5
) -> FaceGroup:
    """Faces of these tracks, by frame; the crop of a face is made from its frame and track."""
    settings = CompositeSettings(temporal=TemporalSettings(code=reach))
    jobs, crops = [], []
    for place, number in enumerate(frames):
        for track in tracks.get(number, []):
            face = dataclasses.replace(face_at(150, 110, 60, 0.0), frame=number, track=track)
            jobs.append(FaceJob(frame=place, face=face, settings=settings))
            crops.append(shown(100 * track + number, light))
    stacked = torch.stack(crops) if crops else torch.zeros(0, 3, 2, 2)
    return FaceGroup(
        frames=[dataclasses.replace(frame_of(number), index=number) for number in frames],
        jobs=jobs,
        crops=stacked,
        batch=batch,
    )


def numbers(groups: list[tuple[FaceGroup, torch.Tensor]]) -> list[list[int]]:
    return [[frame.index for frame in each.frames] for each, _ in groups]


def expected(track: int, frame: int, first: int, last: int, reach: int) -> np.ndarray:
    """cos² weights in double precision, over the frames that there are."""
    total, out = 0.0, np.zeros(12)
    for other in range(max(first, frame - reach), min(last, frame + reach) + 1):
        weight = math.cos(math.pi / 2 * (other - frame) / (reach + 1)) ** 2
        total += weight
        out += weight * shown(100 * track + other).double().flatten().numpy()
    return out / total


def test_the_average_of_a_track_by_hand(mirror):
    """Two tracks, one of which ends in frame 6 and begins anew in frame 8."""
    everywhere, broken = range(10), [n for n in range(10) if n != 7]
    tracks = {n: [0] * (n in everywhere) + [1] * (n in broken) for n in range(10)}
    averager = CodeAverager(mirror, 2)
    done = []
    for frames in ([0, 1, 2], [3, 4], [5, 6, 7, 8], [9]):
        done += averager.push(group(frames, tracks, 2))
    assert numbers(done) == [[0, 1, 2], [3, 4]]
    done += averager.flush()
    assert numbers(done) == [[0, 1, 2], [3, 4], [5, 6, 7, 8], [9]]
    assert averager.flush() == []
    for each, codes in done:
        for job, code in zip(each.jobs, codes, strict=True):
            frame, track = each.frames[job.frame].index, job.face.track
            first, last = (0, 9) if track == 0 else ((0, 6) if frame < 7 else (8, 9))
            np.testing.assert_allclose(code, expected(track, frame, first, last, 2), atol=1e-6)
    assert mirror.model.calls == [3, 3, 3, 1, 3, 3, 1, 2], "in pieces of a batch, groups apart"


def test_a_number_left_out_is_a_cut(mirror):
    averager = CodeAverager(mirror, 2)
    tracks = {n: [0] for n in range(20)}
    done = averager.push(group([0, 1, 2], tracks, 2)) + averager.push(group([9, 10], tracks, 2))
    assert numbers(done) == [[0, 1, 2]], "what lies before a cut waits for nothing"
    (done,) = averager.flush()
    np.testing.assert_allclose(done[1][0], expected(0, 9, 9, 10, 2), atol=1e-6)


def test_frames_without_a_face_pass(mirror):
    averager = CodeAverager(mirror, 1)
    done = averager.push(group([0], {}, 1)) + averager.push(group([1], {1: [0]}, 1)) + averager.flush()
    assert numbers(done) == [[0], [1]]
    assert torch.equal(done[1][1][0], shown(1).flatten()), "alone, it is itself to the bit"


def test_each_face_has_a_reach_of_its_own(mirror):
    """0 among others is handed on to the bit."""
    averager = CodeAverager(mirror, 3)
    tracks = {n: [0] for n in range(9)}
    done = []
    for number, reach in enumerate([0, 3, 1, 0, 2, 3, 0, 1, 3]):
        done += averager.push(group([number], tracks, reach))
    done += averager.flush()
    for number, reach in enumerate([0, 3, 1, 0, 2, 3, 0, 1, 3]):
        (code,) = done[number][1]
        if reach:
            np.testing.assert_allclose(code, expected(0, number, 0, 8, reach), atol=1e-6)
        else:
            assert torch.equal(code, shown(number).flatten())


def test_a_lamp_that_is_switched_on_is_not_smeared(mirror):
    averager = CodeAverager(mirror, 2)
    tracks = {n: [0] for n in range(8)}
    dark, light = group([0, 1, 2, 3], tracks, 2, light=0.3), group([4, 5, 6, 7], tracks, 2, light=0.7)
    done = averager.push(dark) + averager.push(light) + averager.flush()
    codes = torch.cat([codes for _, codes in done]).mean(1)
    np.testing.assert_allclose(codes, [0.3] * 4 + [0.7] * 4, atol=1e-5)


# ----------------------------------------------------------------------------------------------- in a render


def place(index: int) -> list[tuple[float, float, float]]:
    """One face, and two for a while."""
    return [*one_face(index), *([(30 + index, 30, 0.16)] if 6 <= index < 16 else [])]


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    return make_footage(tmp_path_factory.mktemp("footage"), frames=FRAMES, place=place)


@pytest.fixture(scope="module")
def reader(footage: Footage) -> Iterator[VideoReader]:
    with VideoReader(footage.target) as opened:
        yield opened


@pytest.fixture(scope="module")
def swapper(footage: Footage) -> Swapper:
    return Swapper.load(footage.swapper, make_context("cpu"))


def faces_of(footage: Footage) -> tuple[FaceSet, dict]:
    faces = FaceSet.open(footage.faces.path).choose((0, 1))
    return faces, faces.for_merging(footage.target.name)


def render(
    footage: Footage, swapper: Swapper, reader: VideoReader, settings, start: int = 0, stop: int | None = None
) -> list[Frame]:
    merge = FaceMerge([SwapStage(swapper, *faces_of(footage), 4, settings)])
    return [finished for _, finished in merge.render(reader, start, stop)]


def with_code(code: int, **temporal: int) -> SameForAll:
    return SameForAll(changed(CompositeSettings(), {**PLAIN, "temporal": {"code": code, **temporal}}))


def same(first: Frame, second: Frame) -> bool:
    assert first.index == second.index
    return all(np.array_equal(a, b) for a, b in zip(first.planes, second.planes, strict=True))


@pytest.fixture(scope="module")
def plain(footage, swapper, reader) -> list[Frame]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("understudy.pipelines.merging.faces.BLOCK", BLOCK)
        return render(footage, swapper, reader, with_code(0, reach=0))


@pytest.mark.parametrize(("code", "reach", "start"), [(3, 4, 17), (8, 2, 18)])
def test_a_part_is_what_it_is_in_one_go(footage, swapper, reader, code, reach, start):
    settings = with_code(code, reach=reach)
    whole = render(footage, swapper, reader, settings)
    assert [frame.index for frame in whole] == list(range(FRAMES))
    part = render(footage, swapper, reader, settings, start, start + 3)
    assert len(part) == min(3, FRAMES - start)
    assert all(same(a, b) for a, b in zip(whole[start:], part, strict=False))


def test_a_stage_reaches_as_far_as_both_windows(footage, swapper, plain, reader):
    stage = SwapStage(swapper, *faces_of(footage), 4, with_code(5, reach=3))
    assert stage.reach == 8
    assert SwapStage(swapper, *faces_of(footage), 4, with_code(0, reach=3)).reach == 3
    averaged = render(footage, swapper, reader, with_code(5, reach=0))
    assert not any(same(a, b) for a, b in zip(plain, averaged, strict=True)), (
        "or the tests above show nothing"
    )


def test_a_plan_averages_where_it_says_and_nothing_elsewhere(footage, swapper, reader, plain):
    """Outside of its range, and in the other track within, everything is to the bit as without."""
    text = 'version = 1\n[[range]]\nframes = "8:12"\ntrack = 1\ntemporal.code = 4\n'
    common = with_code(0, reach=0).common
    settings = MergePlan(tomllib.loads(text), Path("merge.toml")).for_faces(common)
    assert settings.code == 4
    got = render(footage, swapper, reader, settings)
    differs = [frame.index for frame, other in zip(got, plain, strict=True) if not same(frame, other)]
    assert differs == [8, 9, 10, 11]
    only = MergePlan(tomllib.loads(text.replace("track = 1", "track = 7")), Path("merge.toml"))
    assert SwapStage(swapper, *faces_of(footage), 4, only.for_faces(common)).reach == 0, "nobody asks for it"


def test_where_it_is_off_no_code_is_looked_at(footage, swapper, reader, monkeypatch):
    monkeypatch.setattr(Swapper, "code", None)
    monkeypatch.setattr(Swapper, "draw", None)
    monkeypatch.setattr(Swapper, "target_masks", None)
    assert len(render(footage, swapper, reader, with_code(0, reach=0), 0, 5)) == 5
    with pytest.raises(TypeError):
        render(footage, swapper, reader, with_code(1), 0, 5)


SETTINGS = changed(
    MergeSettings(segment=4, batch=4, encode=Encoding(lossless=True, preset="ultrafast")),
    {"composite": {**PLAIN, "temporal": {"code": 4, "reach": 2}}},
)


def test_segments_and_what_goes_on_after_an_interruption_have_the_same_packets(
    footage, tmp_path, monkeypatch
):
    monkeypatch.setattr("understudy.pipelines.merging.report._EVERY", 0.0)
    outputs = [tmp_path / name / "out.mp4" for name in ("whole", "again")]
    for output in outputs:
        output.parent.mkdir()

    def run(output: Path):
        what = (footage.swapper, footage.target, footage.faces, output, SETTINGS)
        return merge(*what, frames=(12, FRAMES))

    list(run(outputs[0]))
    events = run(outputs[1])
    table = parts_folder(outputs[1]) / "parts.jsonl"
    for event in events:
        if isinstance(event, Progress) and table.is_file():
            events.close()
    told = [event for event in run(outputs[1]) if isinstance(event, Progress)]
    assert told[0].done == 5
    assert packets_of(outputs[0]) == packets_of(outputs[1])


def test_another_process_makes_the_same_segment(footage, tmp_path, swapper, reader):
    order = RenderOrder(
        swapper=footage.swapper,
        target=footage.target,
        faces=footage.faces.path,
        persons=(0, 1),
        output=tmp_path / "out.mp4",
        settings=SETTINGS,
    )
    renderer = Renderer(RenderOrder.from_json(json.loads(json.dumps(order.to_json()))))
    assert renderer.merge.stages[0].reach == 6
    there = [finished for _, finished in renderer.merge.render(renderer.reader, 15, 18)]
    renderer.close()
    here = render(footage, swapper, reader, SameForAll(SETTINGS.composite), 5, 18)
    assert all(same(a, b) for a, b in zip(there, here[10:], strict=True))


def test_the_journal_knows_them(footage):
    def key(**composite):
        settings = changed(SETTINGS, {"composite": composite})
        return render_key(footage.swapper, footage.target, settings, footage.faces, footage.faces.records)

    assert key() == key()
    assert key() != key(temporal={"code": 3})
    assert key() != key(mask={"source": "target"})


# -------------------------------------------------------------------------------------- the target's own mask


def test_the_targets_mask_is_that_of_the_network(footage, swapper, reader):
    """Frame by frame against the network called by hand; what is laid over is cut by it alone."""
    how = {**PLAIN, "mask": {"source": "target", "erode": 0.0, "blur": 0.0, "fill": 0.0}, "raw": "mask"}
    settings = SameForAll(changed(CompositeSettings(), {**how, "temporal": {"reach": 0}}))
    faces, by_frame = faces_of(footage)
    merge = FaceMerge([SwapStage(swapper, faces, by_frame, 1, settings)], layered=True)
    frames = {target.index: target for target, _ in merge.render(reader, 0, 3)}
    layers = {index: merge.layers_of(index)[0] for index in frames}
    for index, (record,) in ((n, by_frame[n]) for n in range(3)):
        matrix = swapper.crop_matrix(record.face.points)
        crop = torch.from_numpy(crop_frame(frames[index], matrix, swapper.resolution))[None]
        own, new = swapper.target_masks(crop), swapper(crop)[1]
        size = layers[index].alpha.shape[-1]
        drawn = nn.functional.interpolate(own, (size, size), mode="bilinear", antialias=True)[0, 0].numpy()
        middle = (slice(8, -8), slice(8, -8))
        np.testing.assert_allclose(layers[index].colors[0][middle], drawn[middle], atol=2e-3)
        assert not np.allclose(own, new, atol=5e-3), "or it could be the other one"


def test_it_is_asked_for_only_where_a_face_needs_it(footage, swapper, reader, monkeypatch):
    asked: list[int] = []
    original = Swapper.target_masks
    monkeypatch.setattr(
        Swapper, "target_masks", lambda self, crops: asked.append(len(crops)) or original(self, crops)
    )
    text = 'version = 1\n[[range]]\nframes = "5:8"\nmask.source = "learned_union"\n'
    common = with_code(0, reach=0).common
    settings = MergePlan(tomllib.loads(text), Path("merge.toml")).for_faces(common)
    got = render(footage, swapper, reader, settings, 0, 12)
    assert 3 <= sum(asked) <= 8  # groups of four, those with frames 5, 6 and 7
    before = render(footage, swapper, reader, SameForAll(common), 0, 12)
    differs = [a.index for a, b in zip(got, before, strict=True) if not same(a, b)]
    assert differs == [5, 6, 7]


def test_codes_and_the_targets_mask_go_together(footage, swapper, reader):
    how = {**PLAIN, "mask": {"source": "learned_product"}, "temporal": {"code": 2, "reach": 2}}
    settings = SameForAll(changed(CompositeSettings(), how))
    whole = render(footage, swapper, reader, settings, 5, 15)
    part = render(footage, swapper, reader, settings, 13, 15)
    assert all(same(a, b) for a, b in zip(whole[8:], part, strict=True))


# ------------------------------------------------------------------------------------------------- who cannot


@pytest.fixture(scope="module")
def composed() -> Swapper:
    settings = MODELS["gan"](resolution=32, width=4, code=16, crop="whole")
    torch.manual_seed(0)
    return Swapper(settings.build(make_context("cpu")), settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temporal": {"code": 2}}, "temporal.code: wanted 0 with a swapper of the model 'gan'"),
        ({"mask": {"source": "target"}}, "mask.source: a swapper of the model 'gan' does not say"),
        ({"mask": {"source": "learned_union"}}, "choose hull, learned, product or union"),
    ],
)
def test_gan_has_neither_code_nor_mask_and_says_so_before_any_work(footage, composed, change, message):
    settings = SameForAll(changed(CompositeSettings(), change))
    with pytest.raises(ConfigError, match=message):
        SwapStage(composed, *faces_of(footage), 4, settings)
    with pytest.raises(ConfigError, match=message):  # before there is a swapper, too
        check_model(MODELS["gan"](), settings)
    check_model(MODELS["gan"](), SameForAll(CompositeSettings()))
    check_model(MODELS["liae"](), settings)
    crops = torch.rand(1, 3, 32, 32)
    for call in (composed.code, composed.target_masks):
        with pytest.raises(ConfigError, match="'gan'"):
            call(crops)
    assert composed(crops)[0].shape == crops.shape


def test_gan_beside_a_swapper_that_can(footage, composed, reader):
    """What the plan asks of other faces is nothing to it."""
    text = 'version = 1\n[[person]]\ntrack = 1\ntemporal.code = 4\nmask.source = "target"\n'
    settings = MergePlan(tomllib.loads(text), Path("merge.toml")).for_faces(with_code(0, reach=0).common)
    faces, by_frame = faces_of(footage)
    mine = {frame: [r for r in records if r.data["track"] == 0] for frame, records in by_frame.items()}
    stage = SwapStage(composed, faces, mine, 4, settings)
    assert stage.reach == 0
    assert len(list(FaceMerge([stage]).render(reader, 0, 3))) == 3
    with pytest.raises(ConfigError, match=r"temporal\.code"):
        SwapStage(composed, faces, by_frame, 4, settings)


def test_the_setting_reaches_from_0_to_8():
    assert dump(TemporalSettings())["code"] == 0
    for wrong in (-1, 9):
        with pytest.raises(ConfigError, match=f"code: wanted 0 to 8 frames, got {wrong}"):
            TemporalSettings(code=wrong)


# ------------------------------------------------------------------------------------------------ the swapper


@pytest.mark.parametrize("name", ["df", "liae", "original", "amp"])
def test_a_swapper_draws_from_codes_what_it_swaps(name):
    tiny = {"resolution": 32, "e_dims": 4, "ae_dims": 8, "d_dims": 4, "d_mask_dims": 2}
    sizes = {"original": {"resolution": 32, "width": 4, "code": 16}, "amp": {**tiny, "inter_dims": 8}}
    settings = MODELS[name](**sizes.get(name, tiny))
    torch.manual_seed(0)
    swapper = Swapper(settings.build(make_context("cpu")), settings)
    crops = torch.rand(3, 3, 32, 32)
    for made, swapped in zip(swapper.draw(swapper.code(crops)), swapper(crops), strict=True):
        assert torch.equal(made, swapped)
    mask = swapper.target_masks(crops)
    assert mask.shape == (3, 1, 32, 32)
    assert 0 <= mask.min() <= mask.max() <= 1
