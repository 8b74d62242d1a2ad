from __future__ import annotations

import tomllib

import pytest

from understudy.blends.feather import Feather
from understudy.blends.poisson import Poisson
from understudy.errors import ConfigError
from understudy.faces.records import FaceRecord
from understudy.pipelines.compositing.settings import CompositeSettings
from understudy.pipelines.merging.plan import MergePlan, find_plan, plan_text, write_plan
from understudy.pipelines.merging.settings import parse_frames


def face(frame, person=0, track=0):
    return FaceRecord({"frame": frame, "track": track}, person)


def plan(text, folder=None):
    path = (folder or __import__("pathlib").Path("shots")) / "merge.toml"
    return MergePlan(tomllib.loads("version = 1\n" + text), path)


PLAIN = CompositeSettings(blend=Feather())


def settings(text, record):
    return plan(text).for_faces(PLAIN).of(record)


def test_an_empty_plan_changes_nothing():
    assert settings("", face(7)) == PLAIN


@pytest.mark.parametrize(("frame", "inside"), [(119, False), (120, True), (179, True), (180, False)])
def test_a_range_excludes_its_end(frame, inside):
    text = '[[range]]\nframes = "120:180"\nblend = "poisson"\n'
    assert isinstance(settings(text, face(frame)).blend, Poisson if inside else Feather)


def test_kinds_count_in_their_order_and_entries_in_theirs():
    text = """
        [settings]
        mask.erode = 0.1
        [[person]]
        person = 1
        mask.erode = 0.2
        [[range]]
        frames = ":10"
        mask.erode = 0.3
        [[range]]
        frames = "5:"
        mask.erode = 0.4
        [[key]]
        frame = 50
        track = 9
        mask.erode = 0.5
    """
    for record, wanted in (
        (face(2), 0.3),
        (face(7), 0.4),
        (face(7, track=9), 0.5),
        (face(40, person=1), 0.4),
    ):
        assert settings(text, record).mask.erode == wanted
    only = text.partition("[[range]]")[0]
    assert settings(only, face(2)).mask.erode == 0.1
    assert settings(only, face(2, person=1)).mask.erode == 0.2


KEYS = """
    [[key]]
    frame = 10
    interpolation = "{kind}"
    mask.blur = 0.1
    max_size = 100
    blend = "poisson"
    [[key]]
    frame = 20
    mask.blur = 0.3
    max_size = 201
    blend = "feather"
"""


@pytest.mark.parametrize(
    ("kind", "frame", "blur", "size"),
    [
        ("linear", 0, 0.1, 100),  # before the first key it is that one's
        ("linear", 10, 0.1, 100),
        ("linear", 15, 0.2, 150),  # half of 301 is rounded to the even number
        ("linear", 25, 0.3, 201),
        ("smooth", 15, 0.2, 150),
        ("smooth", 12, 0.1 + 0.2 * (3 * 0.04 - 2 * 0.008), 111),
        ("hold", 19, 0.1, 100),
        ("hold", 20, 0.3, 201),
    ],
)
def test_numbers_go_from_key_to_key(kind, frame, blur, size):
    made = settings(KEYS.format(kind=kind), face(frame))
    assert made.mask.blur == pytest.approx(blur, abs=1e-12)
    assert made.max_size == size
    assert made.blend.name == ("feather" if frame >= 20 else "poisson")  # a name does not


def test_a_plugin_and_its_settings_can_be_keyed_together():
    text = '[[key]]\nframe = 3\nblend = {reach = 0.3, name = "poisson"}\n'
    assert settings(text, face(5)).blend == Poisson(reach=0.3)


def test_the_longest_reach_of_all_settings_counts():
    text = '[settings]\ntemporal.reach = 0\n[[range]]\nframes = "90:"\ntemporal.reach = 5\n'
    made = plan(text).for_faces(CompositeSettings())
    assert made.reach == 5
    assert not made.persons
    assert plan('[[range]]\nframes = "3"\nmask.person = true').for_faces(CompositeSettings()).persons


def test_the_cast_is_named_from_the_plans_folder(tmp_path):
    made = plan('[[cast]]\nperson = 1\nswapper = "../runs/b/swapper"\n', tmp_path / "p")
    (entry,) = made.cast
    assert entry.swapper.resolve() == tmp_path / "runs" / "b" / "swapper"
    assert entry.fits(face(0, person=1))
    assert not entry.fits(face(0, person=0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version = 2", ("merge.toml", "version", "wanted 1", "2")),
        ("", ("version", "wanted 1", "None")),
        ("version = 1\n[[ranges]]", ("ranges", "did you mean 'range'")),
        ("version = 1\nrange = 3", ("range", "[[range]]")),
        ("version = 1\n[settings]\nblend = 'fether'", ("settings: blend", "did you mean 'feather'")),
        (
            "version = 1\n[[range]]\n[[range]]\nframes = '1:5'\nmask.erod = 1",
            ("[[range]] 2: mask.erod", "did you mean 'erode'"),
        ),
        ("version = 1\n[[range]]\nframes = '5:2'\n", ("[[range]] 1", "'5:2'")),
        ("version = 1\n[[range]]\nframes = 5\n", ("[[range]] 1", "frames", "text")),
        ("version = 1\n[[key]]\nmask.erode = 0.1\n", ("[[key]] 1", "frame", "from 0")),
        ("version = 1\n[[key]]\nframe = 1\ninterpolation = 'curve'", ("[[key]] 1", "linear", "curve")),
        ("version = 1\n[[key]]\nframe = 9\nmask.erode = 3.0", ("[[key]] 1", "erode", "-0.5 to 0.5")),
        ("version = 1\n[[key]]\nframe = 1\nblend.reach = 1.0", ("[[key]] 1", "blend.reach")),  # of poisson
        ("version = 1\n[[person]]\nblend = 'poisson'", ("[[person]] 1", "person or track")),
        ("version = 1\n[[cast]]\nswapper = 'a'", ("[[cast]] 1", "person or track")),
        ("version = 1\n[[cast]]\nperson = 1\nswapper = 'a'\nblend = 'x'", ("[[cast]] 1", "blend")),
        ("version = [", ("not valid TOML",)),
    ],
)
def test_messages_name_file_place_and_what_was_wanted(tmp_path, text, words):
    path = tmp_path / "merge.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        MergePlan.read(path).for_faces(PLAIN)
    assert str(caught.value).startswith(str(path))
    for word in words:
        assert word in str(caught.value)


def test_a_written_plan_is_read_back_as_the_settings_it_was_written_from(tmp_path):
    wanted = CompositeSettings(blend=Poisson(), max_size=256)
    path = tmp_path / "project" / "merge.toml"
    write_plan(path, wanted)
    assert MergePlan.read(path).for_faces(CompositeSettings()).of(face(3)) == wanted
    assert find_plan([tmp_path, path.parent]) == path
    with pytest.raises(ConfigError, match="already"):
        write_plan(path, wanted)


def test_the_examples_in_a_written_plan_work(tmp_path):
    lines = plan_text(CompositeSettings()).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("# [[person]]"))
    examples = [line.removeprefix("# ") for line in lines[start:]]
    made = MergePlan(tomllib.loads("\n".join([*lines[:start], *examples])), tmp_path / "merge.toml")
    assert (len(made.rules), len(made.keys), len(made.cast)) == (2, 2, 1)
    assert made.for_faces(CompositeSettings()).of(face(24)).mask.blur == pytest.approx(0.055)


@pytest.mark.parametrize(
    ("text", "frames"),
    [("120:180", (120, 180)), ("120:", (120, None)), (":180", (0, 180)), (":", (0, None)), ("7", (7, 8))],
)
def test_frames(text, frames):
    assert parse_frames(text) == frames


@pytest.mark.parametrize("text", ["", "a", "5:5", "7:3", "-1:4", "1:2:3", "1-4"])
def test_no_frames(text):
    with pytest.raises(ConfigError, match="frames"):
        parse_frames(text)
