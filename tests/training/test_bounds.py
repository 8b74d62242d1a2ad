"""How much a run may be asked for."""

from __future__ import annotations

import pytest

from understudy.errors import ConfigError
from understudy.pipelines.runs.enhancer import EnhanceTrainSettings
from understudy.pipelines.runs.features import FeatureSettings
from understudy.pipelines.runs.pretrain import PretrainSettings
from understudy.pipelines.runs.segmentation import MaskTrainSettings
from understudy.pipelines.runs.settings import TrainSettings
from understudy.training.bounds import MOST_BATCH, check_batch

TRAININGS = (TrainSettings, PretrainSettings, MaskTrainSettings, EnhanceTrainSettings, FeatureSettings)


@pytest.mark.parametrize("settings", TRAININGS)
@pytest.mark.parametrize("batch", [100_000_000, MOST_BATCH + 1, 0, -3])
def test_no_training_begins_with_a_batch_that_cannot_be_meant(settings: type, batch: int):
    with pytest.raises(ConfigError, match=rf"batch: wanted \d to {MOST_BATCH} faces a step, got {batch}$"):
        settings(batch=batch)
    assert settings(batch=MOST_BATCH).batch == MOST_BATCH


def test_the_fewest_faces_are_the_trainings_own():
    check_batch(2, fewest=2)
    with pytest.raises(ConfigError, match="wanted 2 to"):
        check_batch(1, fewest=2)
