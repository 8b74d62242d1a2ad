from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy.contracts import Alignment, Face
from understudy.errors import FaceSetError
from understudy.faces import metadata
from understudy.faces.faceset import FaceSet
from understudy.faces.writing import FaceSetWriter

SIZE = 32
ABOUT = {"mode": "whole", "size": SIZE, "picture": "png"}
MATRIX = np.array([[0.004, 0.001, -0.3], [-0.001, 0.004, -0.2]])


def face(frame: int, index: int = 0, track: int = 0, **changes: object) -> Face:
    generator = np.random.default_rng(frame * 10 + index)
    points = generator.uniform(50, 250, (478, 3)).astype(np.float32)
    made = Face(
        frame=frame,
        time=frame / 25,
        index=index,
        track=track,
        box=np.array([50.0, 50.0, 250.0, 250.0]),
        presence=0.98,
        points=points,
        alignment=Alignment(matrix=MATRIX, mode="whole"),
        pose=(10.0, -5.0, 2.5),
        sharpness=80.0 + frame,
    )
    return replace(made, **changes)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def fill(path: Path, frames: int = 6, about: dict[str, object] | None = None) -> None:
    """Two tracks: 0 in every frame, 1 in the first two."""
    with FaceSetWriter(path, about or ABOUT) as writer:
        assert writer.begin("a.mp4", "hash a") == 0
        for frame in range(frames):
            identity = np.arange(4, dtype=np.float32) if frame == 2 else None
            writer.add(face(frame), picture(frame), identity)
            if frame < 2:
                other = np.full(4, 9.0, np.float32) if frame == 0 else None
                writer.add(face(frame, 1, track=1), picture(100 + frame), other)
        writer.read_to(frames, complete=True)
        writer.write_persons({0: 0, 1: 1})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(tmp_path / "set")
    return tmp_path / "set"


def names(faces: FaceSet) -> list[str]:
    return [record.crop for record in faces.for_training()]


ALL = [f"{frame:06d}_0.png" for frame in range(6)]

# ------------------------------------------------------------------------------------------------ reading


def test_what_was_written_is_read(folder: Path) -> None:
    faces = FaceSet.open(folder)
    assert len(faces.records) == 8
    record = next(record for record in faces.records if record.crop == "000001_1.png")
    want, came = face(1, 1, track=1), record.face
    for name in ("frame", "time", "index", "track", "presence", "found", "pose", "sharpness"):
        assert getattr(came, name) == getattr(want, name)
    np.testing.assert_array_equal(came.alignment.matrix, MATRIX)
    np.testing.assert_allclose(came.box, want.box)
    np.testing.assert_allclose(came.points, want.points, atol=0.5 / 8192 / 0.004 * 1.5)
    assert record.person == 1
    np.testing.assert_array_equal(faces.read_crop(record), picture(101))
    assert set(record.data) == set(json.loads(json.dumps(dict(record.data))))


@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_every_format_keeps_picture_and_description(tmp_path: Path, format: str) -> None:
    fill(tmp_path / "set", 1, {**ABOUT, "picture": format})
    faces = FaceSet.open(tmp_path / "set")
    record = faces.records[0]
    assert record.crop == f"000000_0.{format}"
    came = faces.read_crop(record)
    if format == "jpg":
        smooth = np.tile(np.arange(0, 256, 8, np.uint8)[:, None], (SIZE, 1, 3))
        data = metadata.encode_crop(smooth, {"a": 'quotes " & <angles>'}, "jpg")
        path = tmp_path / "smooth.jpg"
        path.write_bytes(data)
        assert np.abs(metadata.decode_crop(path).astype(int) - smooth).max() < 6
        assert metadata.read_description(path) == {"a": 'quotes " & <angles>'}
    else:
        np.testing.assert_array_equal(came, picture(0))
    assert metadata.read_description(tmp_path / "set" / "crops" / record.crop) == dict(record.data)
    assert list(faces.check()) == []


def test_identities_and_persons(folder: Path) -> None:
    faces = FaceSet.open(folder)
    np.testing.assert_array_equal(faces.identities[0], [0, 1, 2, 3])
    assert faces.persons() == {0: 6, 1: 2}
    person, distance = faces.nearest_person(np.full(4, 8.5, np.float32))
    assert (person, distance) == (1, 1.0)
    assert names(faces) == ALL
    assert names(faces.choose((1,))) == ["000000_1.png", "000001_1.png"]
    assert sorted(names(faces.choose((0, 1)))) == sorted([*ALL, "000000_1.png", "000001_1.png"])


def test_interpolated_faces_are_merged_and_not_learned_from(tmp_path: Path) -> None:
    with FaceSetWriter(tmp_path, ABOUT) as writer:
        writer.begin("a.mp4", "h")
        writer.add(face(0), picture(0))
        writer.add(face(1, found=False), picture(1))
        writer.read_to(2, complete=True)
    faces = FaceSet.open(tmp_path)
    assert names(faces) == ["000000_0.png"]
    assert sorted(faces.for_merging("a.mp4")) == [0, 1]


# ------------------------------------------------------------------------------------------------ curation


def test_a_deleted_crop_is_not_learned_from_and_still_swapped(folder: Path) -> None:
    (folder / "crops" / ALL[2]).unlink()
    (folder / "crops" / ALL[3]).rename(folder / ALL[3])
    faces = FaceSet.open(folder)
    assert names(faces) == [ALL[0], ALL[1], ALL[4], ALL[5]]
    assert sorted(faces.for_merging("a.mp4")) == [0, 1, 2, 3, 4, 5]
    assert faces.for_merging("b.mp4") == {}


def test_a_rejected_face_is_neither_learned_from_nor_swapped(folder: Path) -> None:
    before = FaceSet.open(folder).digest()
    FaceSet.open(folder).reject([ALL[0], ALL[1]])
    FaceSet.open(folder).restore([ALL[1]])
    faces = FaceSet.open(folder)
    assert faces.rejected == {ALL[0]}
    assert names(faces) == ALL[1:]
    assert sorted(faces.for_merging("a.mp4")) == [1, 2, 3, 4, 5]
    assert faces.digest() != before
    faces.restore([ALL[0]])
    assert FaceSet.open(folder).digest() == before


def test_faces_can_be_given_to_another_person(folder: Path) -> None:
    FaceSet.open(folder).assign([ALL[5]], 1)
    faces = FaceSet.open(folder)
    assert names(faces) == ALL[:5]
    assert faces.persons() == {0: 5, 1: 3}


def test_a_renamed_crop_is_known_by_its_description(folder: Path) -> None:
    (folder / "crops" / ALL[1]).rename(folder / "crops" / "best smile.png")
    faces = FaceSet.open(folder)
    record = next(record for record in faces.for_training() if record.file)
    assert (record.crop, record.file) == (ALL[1], "best smile.png")
    np.testing.assert_array_equal(faces.read_crop(record), picture(1))
    assert sorted(names(faces)) == ALL


def test_a_crop_saved_by_another_program_is_known_by_its_name(folder: Path) -> None:
    for name, new in ((ALL[1], ALL[1]), (ALL[2], "000002_0.jpg")):
        path = folder / "crops" / name
        with Image.open(path) as image:
            plain = io.BytesIO()
            Image.fromarray(np.asarray(image)).save(plain, "JPEG" if new.endswith("jpg") else "PNG")
        path.unlink()
        (folder / "crops" / new).write_bytes(plain.getvalue())
    faces = FaceSet.open(folder)
    assert sorted(names(faces)) == ALL
    for record in faces.for_training():
        assert faces.read_crop(record).shape == (SIZE, SIZE, 3)


def test_a_crop_from_another_set_is_a_face(folder: Path, tmp_path: Path) -> None:
    fill(tmp_path / "other", 9)
    moved = tmp_path / "other" / "crops" / "000008_0.png"
    moved.rename(folder / "crops" / "from elsewhere.png")
    faces = FaceSet.open(folder)
    assert len(faces.for_training()) == 7
    record = faces.for_training()[-1]
    np.testing.assert_array_equal(faces.read_crop(record), picture(8))
    np.testing.assert_allclose(record.points, face(8).points, atol=0.05)
    assert sorted(faces.for_merging("a.mp4")) == [0, 1, 2, 3, 4, 5]
    assert any("from elsewhere.png: not in the table" in line for line in faces.check())
    faces.reject(["from elsewhere.png"])
    assert names(FaceSet.open(folder)) == ALL


def test_a_crop_of_another_set_does_not_take_the_place_of_a_deleted_one(folder: Path, tmp_path: Path) -> None:
    (folder / "crops" / ALL[2]).unlink()
    fill(tmp_path / "other", 9)
    stranger = tmp_path / "other" / "crops" / "000008_0.png"
    stranger.rename(folder / "crops" / f"{Path(ALL[2]).stem}.PNG")
    faces = FaceSet.open(folder)
    assert ALL[2] not in names(faces)
    np.testing.assert_array_equal(faces.read_crop(faces.for_training()[-1]), picture(8))


def test_other_files_among_the_crops_are_left_out_and_named(folder: Path) -> None:
    Image.fromarray(picture(5)).save(folder / "crops" / "holiday.png")
    (folder / "crops" / "Thumbs.db").write_bytes(b"no picture")
    (folder / "crops" / ".hidden").write_bytes(b"")
    faces = FaceSet.open(folder)
    assert names(faces) == ALL
    lines = list(faces.check())
    assert len(lines) == 2
    assert any(line.startswith("crops/holiday.png: no face of this set") for line in lines)
    assert any("Thumbs.db" in line and "not a picture" in line for line in lines)


def test_where_crop_and_table_differ_the_table_wins_and_says_so(folder: Path) -> None:
    path = folder / "crops" / ALL[4]
    said = metadata.read_description(path)
    assert said is not None
    path.write_bytes(metadata.encode_crop(picture(4), {**said, "pose": [0, 0, 0], "sharpness": 1}, "png"))
    faces = FaceSet.open(folder)
    assert faces.records[-1].face.pose == (10.0, -5.0, 2.5)
    assert list(faces.check()) == [
        f"crops/{ALL[4]}: differs from the table in pose, sharpness; the table is taken"
    ]


def test_masks(folder: Path) -> None:
    faces = FaceSet.open(folder)
    record = faces.records[0]
    assert faces.read_mask(record) is None
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[4:9, 3:] = 200
    faces.write_mask(record, mask)
    np.testing.assert_array_equal(faces.read_mask(record), mask)
    assert faces.mask_path(record) == folder / "masks" / "000000_0.png"


# ------------------------------------------------------------------------------------------ what is wrong


def test_no_face_set(tmp_path: Path) -> None:
    with pytest.raises(FaceSetError, match=r"no face set .* understudy extract"):
        FaceSet.open(tmp_path)
    with pytest.raises(FaceSetError, match="no face set"):
        FaceSet.open(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("format = 99", "newer"),
        ("name = 'x'", "no format"),
        ("format = ", "cannot be read"),
        (b"\xff\xfe", "read"),
    ],
)
def test_foreign_and_newer_sets(tmp_path: Path, content: str | bytes, said: str) -> None:
    (tmp_path / "faceset.toml").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(FaceSetError, match=said):
        FaceSet.open(tmp_path)


def test_a_damaged_crop_is_named(folder: Path) -> None:
    (folder / "crops" / ALL[3]).write_bytes((folder / "crops" / ALL[3]).read_bytes()[:40])
    faces = FaceSet.open(folder)
    record = next(record for record in faces.for_training() if record.crop == ALL[3])
    with pytest.raises(FaceSetError, match=r"000003_0.png: .*damaged.*delete it"):
        faces.read_crop(record)
    assert any(ALL[3] in line for line in faces.check())


def test_torn_and_foreign_lines_are_passed_over(folder: Path) -> None:
    table = folder / "faces.jsonl"
    whole = table.read_bytes()
    lines = whole.splitlines(keepends=True)
    table.write_bytes(whole + b'\n\n17\n"text"\n{"crop": "x"}\n' + lines[0][: len(lines[0]) // 2])
    assert names(FaceSet.open(folder)) == ALL
    with FaceSetWriter(folder, ABOUT) as writer:
        assert writer.begin("b.mp4", "hash b") == 0
        writer.add(face(0), picture(7))
        writer.read_to(1, complete=True)
    assert len(FaceSet.open(folder).records) == 9


def test_a_table_that_is_mostly_damaged_is_refused(folder: Path) -> None:
    (folder / "faces.jsonl").write_bytes(b"\x00garbage\n" * 20)
    with pytest.raises(FaceSetError, match="20 of 20 lines are damaged"):
        FaceSet.open(folder)


# ------------------------------------------------------------------------------------------------ going on


def test_a_file_that_was_read_is_not_read_again(folder: Path) -> None:
    writer = FaceSetWriter(folder, ABOUT)
    assert writer.begin("a.mp4", "hash a") == -1
    with pytest.raises(FaceSetError, match=r"another file named a\.mp4"):
        writer.begin("a.mp4", "hash of another")


def test_a_second_file_has_names_and_tracks_of_its_own(folder: Path) -> None:
    with FaceSetWriter(folder, ABOUT) as writer:
        assert writer.begin("b.mp4", "hash b") == 0
        writer.add(face(0), picture(50))
        writer.read_to(1, complete=True)
    record = FaceSet.open(folder).records[-1]
    assert (record.crop, record.source, record.track) == ("01_000000_0.png", "b.mp4", 2)


def test_an_interrupted_file_goes_on_and_leaves_nothing_stale(tmp_path: Path) -> None:
    writer = FaceSetWriter(tmp_path, ABOUT)
    writer.begin("a.mp4", "h")
    for frame in range(3):
        writer.add(face(frame), picture(frame))
    writer.read_to(3)
    for frame in range(3, 6):  # these crops are on disk, but not in the table
        writer.add(face(frame), picture(frame))
    writer.add(face(3, 1, track=1), picture(60))
    (tmp_path / "crops" / "000001_0.png").unlink()  # rejected meanwhile
    del writer
    again = FaceSetWriter(tmp_path, ABOUT)
    assert again.begin("a.mp4", "h") == 3
    assert sorted(path.name for path in (tmp_path / "crops").iterdir()) == ["000000_0.png", "000002_0.png"]
    again.add(face(3), picture(3))
    again.read_to(4, complete=True)
    faces = FaceSet.open(tmp_path)
    assert [record.crop for record in faces.records] == ALL[:4]
    assert [record.track for record in faces.records] == [0, 0, 0, 1]
    assert faces.sources["a.mp4"]["complete"]


def test_other_settings_and_foreign_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FaceSetError, match="made with size 32, now 64"):
        FaceSetWriter(folder, {**ABOUT, "size": 64})
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "letter.txt").write_text("dear")
    with pytest.raises(FaceSetError, match="holds other files"):
        FaceSetWriter(tmp_path / "photos", ABOUT)
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["letter.txt"]


WRITE = """
import sys; from pathlib import Path
sys.path.insert(0, {here!r})
from test_faceset import ABOUT, face, picture
from understudy.faces.writing import FaceSetWriter
writer = FaceSetWriter(Path({folder!r}), ABOUT)
start = writer.begin("a.mp4", "h")
for frame in range(max(start, 0), 4 if start >= 0 else 0):
    writer.add(face(frame), picture(frame))
    if frame % 2:
        writer.read_to(frame + 1, complete=frame == 3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["before", "half", "after"])
def test_killed_at_every_write_it_goes_on(tmp_path: Path, how: str) -> None:
    """The real writer is killed at one operation after the other; each time another call must finish the
    set."""
    here = str(Path(__file__).parent)

    def run(folder: Path, fault: str = "") -> int:
        code = WRITE.format(here=here, folder=str(folder))
        environment = {**os.environ, "UNDERSTUDY_FAULT": fault}
        return subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode

    count = tmp_path / "count"
    assert run(tmp_path / "whole", f"count:{count}") == 0
    operations = len(count.read_text().splitlines())
    assert operations > 15
    want = (tmp_path / "whole" / "faces.jsonl").read_bytes()
    for number in range(1, operations + 1, 5):
        folder = tmp_path / f"{number}"
        assert run(folder, f"{number}:{how}") == -signal.SIGKILL
        assert run(folder) == 0
        faces = FaceSet.open(folder)
        assert names(faces) == ALL[:4], number
        for record in faces.for_training():
            np.testing.assert_array_equal(faces.read_crop(record), picture(record.frame))
        assert not list(folder.rglob(".*"))
        assert len((folder / "faces.jsonl").read_bytes()) >= len(want)


def test_a_large_table_keeps_its_landmarks_on_disk(folder: Path) -> None:
    """Nine tenths of a table are landmarks; an open set must not hold them."""
    faces = FaceSet.open(folder)
    held = sum(len(json.dumps(record.data.head)) for record in faces.records)  # type: ignore[attr-defined]
    assert held < 0.25 * (folder / "faces.jsonl").stat().st_size
    assert len(faces.records[0].data["mesh"]) == 4 * 478 * 2


def test_a_set_in_which_nothing_was_found_is_read_again_with_other_settings(tmp_path: Path) -> None:
    path = tmp_path / "set"
    common = {"mode": "whole", "size": 64, "picture": "png"}
    writer = FaceSetWriter(path, {**common, "finding": "one"})
    assert writer.begin("a.mp4", "print") == 0
    writer.read_to(10, complete=True)
    again = FaceSetWriter(path, {**common, "finding": "other"})
    assert again.begin("a.mp4", "print") == 0
    assert FaceSet.open(path).about["finding"] == "other"
