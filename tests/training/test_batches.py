from __future__ import annotations

import pytest
import torch

from understudy.errors import ConfigError
from understudy.image.expression import EXPRESSION
from understudy.training.augment import Augmentation
from understudy.training.batches import SwapFeed, random_store
from understudy.training.sampling import pose_bins


def feed(**changes):
    settings = {
        "batch": 4,
        "resolution": 32,
        "output_resolution": 32,
        "augmentation": Augmentation(),
        "device": torch.device("cpu"),
        "seed": 0,
    }
    return SwapFeed(random_store(7, 32, 1), random_store(9, 32, 2), **{**settings, **changes})


def test_a_batch_follows_from_seed_and_step_alone():
    one, other = feed(), feed()
    one.batch(0)
    for person in ("source", "target"):
        for name in ("input", "truth", "mask", "features"):
            mine, again, next_step, other_seed = (
                getattr(getattr(made, person), name)
                for made in (one.batch(5), other.batch(5), one.batch(6), feed(seed=1).batch(5))
            )
            assert torch.equal(mine, again)
            assert not torch.equal(mine, next_step)
            assert not torch.equal(mine, other_seed)


def test_shapes_and_ranges():
    batch = feed(output_resolution=64).batch(0)
    assert batch.source.input.shape == (4, 3, 32, 32)
    assert batch.target.truth.shape == (4, 3, 64, 64)
    assert batch.target.mask.shape == batch.target.features.shape == (4, 1, 64, 64)
    for picture in (*vars(batch.source).values(), *vars(batch.target).values()):
        assert picture.min() >= 0
        assert picture.max() <= 1


def test_plain_faces_are_spread_over_the_set_and_repeat_where_there_are_few():
    batch = feed().plain(9)
    assert batch.target.truth.shape[0] == 9
    assert torch.equal(batch.source.truth[0], batch.source.truth[7])
    assert torch.equal(batch.target.input, batch.target.truth)
    assert len(batch.target.truth.flatten(1).unique(dim=0)) == 9


def whole_of(parts, person: str, name: str) -> torch.Tensor:
    return torch.cat([getattr(getattr(part, person), name) for part in parts])


NAMES = ("input", "truth", "mask", "features", "expression")


def test_slices_of_a_batch_are_the_batch():
    made = feed(
        augmentation=Augmentation(hsv=0.2, transfer=0.5, blur_outside=0.02),
        transfer=lambda face, reference, mask: (face + reference * mask) / 2,
    )
    one = made.batch(5)
    for world in (2, 4):
        parts = [made.batch(5, rank=rank, world=world) for rank in range(world)]
        for person in ("source", "target"):
            for name in NAMES:
                assert torch.equal(whole_of(parts, person, name), getattr(getattr(one, person), name)), name
    with pytest.raises(ConfigError, match=r"4 cannot be cut into 3 .*train\.batch"):
        made.batch(0, rank=0, world=3)


def test_only_the_source_gets_other_colours_and_its_truth_gets_them_too():
    def to_reference(face, reference, mask):
        return reference.mean((2, 3), keepdim=True).expand_as(face)

    still = Augmentation(rotation=0, scale=0, shift=0, flip_target=0, warp="none", color=0)
    before, after = feed(augmentation=still), feed(augmentation=still, transfer=to_reference)
    one, other = before.batch(3), after.batch(3)
    for name in NAMES:
        assert torch.equal(getattr(one.target, name), getattr(other.target, name))
        if name in ("mask", "features", "expression"):
            assert torch.equal(getattr(one.source, name), getattr(other.source, name))
    assert torch.equal(other.source.input, other.source.truth)
    colors = other.source.truth.mean((2, 3))
    assert other.source.truth.std((2, 3)).max() < 1e-6
    faces = torch.from_numpy(after.stores[1].faces[:, :3]).float().div(255).mean((2, 3))
    assert torch.cdist(colors, faces).min(1).values.max() < 1e-5  # each is some target's
    assert len(colors.unique(dim=0)) > 1


def test_a_share_of_the_source_gets_other_colours():
    made = feed(
        batch=400,
        augmentation=Augmentation(transfer=0.25, color=0, warp="none"),
        transfer=lambda face, reference, mask: torch.zeros_like(face),
    )
    black = (made.batch(0).source.truth.amax((1, 2, 3)) == 0).float().mean()
    assert black == pytest.approx(0.25, abs=0.06)


def test_hsv_changes_the_input_of_the_source_only():
    one, other = feed(), feed(augmentation=Augmentation(hsv=0.3))
    for person, changed in (("source", True), ("target", False)):
        first, second = getattr(one.batch(2), person), getattr(other.batch(2), person)
        assert torch.equal(first.truth, second.truth)
        assert torch.equal(first.input, second.input) != changed


def test_rare_poses_come_more_often_when_they_are_asked_for():
    source, target = random_store(40, 32, 1), random_store(40, 32, 2)
    source.expressions[:8, EXPRESSION.index("yaw")] = 2.0

    def rare(sampling) -> int:
        made = feed(batch=8)
        made.stores = (source, target)
        made._bins = [pose_bins(s.expressions) for s in made.stores] if sampling == "pose" else None
        return sum(int((made._faces(0, step) < 8).sum()) for step in range(10))

    assert rare("uniform") == 16
    assert rare("pose") == 40
