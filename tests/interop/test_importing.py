from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from small_run import NoWeights, make_task

import leras
from understudy.cli.main import main
from understudy.contracts import Context
from understudy.errors import DataError, OutputError
from understudy.events import Planned, StageDone, Warned
from understudy.interop.importing import IMPORTED, import_model
from understudy.losses import LOSSES
from understudy.pipelines.runs.segmentation import load_segmenter
from understudy.pipelines.runs.segmentation import settings_of as mask_settings_of
from understudy.pipelines.runs.train import settings_of
from understudy.pipelines.swapper import Swapper
from understudy.training import checkpoint
from understudy.training.loop import LoopSettings, Trainer
from understudy.training.rundir import RunFolder
from understudy.training.task import SwapTask, SwapTaskSettings, Weighted

CONTEXT = Context(device=torch.device("cpu"), weights=NoWeights())
OPTIONS = {
    "e_dims": 4,
    "ae_dims": 8,
    "d_dims": 4,
    "d_mask_dims": 2,
    "resolution": 32,
    "archi": "df-u",
    "face_type": "wf",
    "batch_size": 2,
    "adabelief": True,
    "lr_dropout": "n",
    "clipgrad": True,
}


def saved(folder, **options):
    numbers = leras.Numbers()
    faces = np.random.default_rng(0).random((2, 32, 32, 3))
    drawn = leras.saehd(numbers, "df-u", faces, resolution=32, e=4, ae=8, d=4, m=2)
    leras.save(folder, "new_SAEHD", numbers, OPTIONS | options, iterations=1200)
    return numbers, faces, drawn


def test_an_imported_model_merges_and_goes_on_training(tmp_path):
    numbers, faces, drawn = saved(tmp_path / "dfl")
    held = leras.save_memory(tmp_path / "dfl", "new_SAEHD", numbers)
    events = list(import_model(tmp_path / "dfl", tmp_path / "run"))
    assert not [event for event in events if isinstance(event, Warned)]
    assert "df-u, 32 pixels, whole faces" in next(e for e in events if isinstance(e, Planned)).lines[0]
    assert next(e for e in events if isinstance(e, StageDone)).summary["steps"] == 1200

    swapper = Swapper.load(tmp_path / "run" / "swapper", CONTEXT)
    swapper._bf16 = False
    picture = torch.from_numpy(faces[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32))
    face, mask = swapper(picture)
    np.testing.assert_allclose(face.numpy().transpose(0, 2, 3, 1)[..., ::-1], drawn[2][0], atol=1e-4)
    np.testing.assert_allclose(mask.numpy().transpose(0, 2, 3, 1), drawn[2][1], atol=1e-4)
    assert (swapper.step, swapper.mode) == (1200, "whole")

    run = RunFolder(tmp_path / "run")
    settings = settings_of(run)
    optimizer = settings.optimizer
    assert (settings.batch, optimizer.name, optimizer.rate, optimizer.clip) == (2, "adabelief", 5e-5, 1.0)
    assert not optimizer.bias_correction
    assert run.origin["face_sets"] == {"source": IMPORTED, "target": IMPORTED}
    assert run.origin["imported"]["options"]["archi"] == "df-u"
    losses = {name: Weighted(LOSSES[name]().weight, LOSSES[name](), True) for name in ("dssim", "mse")}
    model = settings.model.build(CONTEXT)
    task = SwapTask(
        model, make_task().feed, losses, SwapTaskSettings(preview_faces=2), name="df", model_settings={}
    )
    loop = LoopSettings(steps=1202, threads=1, precision="fp32", preview_every=0.0, report_every=0.0)
    trainer = Trainer(task, run, loop, optimizer, settings.average)
    next(event for event in trainer.train() if event.to_json().get("done") == 1201)
    went_on, _ = checkpoint.load(run.checkpoints)
    assert went_on is not None
    bias = "inter.squeeze.bias"
    assert went_on.step >= 1201
    assert went_on.optimizer[f"{bias}/step"] == 7 + went_on.step - 1200
    before = torch.from_numpy(held["ms_inter/dense1/bias_0:0"])
    after = went_on.optimizer[f"{bias}/mean"]
    moved = before * 0.9 ** (went_on.step - 1200)
    assert (after - moved).abs().max() < (after - before).abs().max(), "the memory was begun anew"


def test_what_is_missing_is_said(tmp_path):
    saved(tmp_path / "dfl", adabelief=False)
    warned = [e.message for e in import_model(tmp_path / "dfl", tmp_path / "run") if isinstance(e, Warned)]
    assert warned == ["the optimiser's memory is not among its files: training goes on with an empty one"]
    assert settings_of(RunFolder(tmp_path / "run")).optimizer.name == "rmsprop"


def test_nothing_is_left_of_an_import_that_failed(tmp_path):
    saved(tmp_path / "dfl")
    (tmp_path / "dfl" / "new_SAEHD_inter.npy").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"new_SAEHD_inter\.npy"):
        list(import_model(tmp_path / "dfl", tmp_path / "run"))
    assert [path.name for path in tmp_path.iterdir()] == ["dfl"]
    (tmp_path / "run").mkdir()
    with pytest.raises(OutputError, match="exists already"):
        list(import_model(tmp_path / "dfl", tmp_path / "run"))


def test_no_face_is_kept(tmp_path):
    """The faces in data.dat are constant 0.5: no such run of numbers may be in what was written."""
    saved(tmp_path / "dfl")
    list(import_model(tmp_path / "dfl", tmp_path / "run"))
    sign = np.full(64, 0.5, np.float32).tobytes()
    assert sign in (tmp_path / "dfl" / "new_SAEHD_data.dat").read_bytes()
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if sign in path.read_bytes()]
    assert "sample" not in json.dumps(RunFolder(tmp_path / "run").origin)


def test_an_imported_mask_network_is_a_segmenter(tmp_path):
    numbers = leras.Numbers()
    faces = np.random.default_rng(0).random((1, 128, 128, 3))
    expected = leras.xseg(numbers, faces, base=2, code=8)
    leras.save(tmp_path / "dfl", "XSeg", numbers, {"face_type": "wf", "batch_size": 3})
    list(import_model(tmp_path / "dfl", tmp_path / "run"))
    segmenter = load_segmenter(tmp_path / "run", CONTEXT)
    segmenter._bf16 = False
    got = segmenter(torch.from_numpy(faces[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)))
    expected = np.where(expected < 0.1, 0, expected).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-4)
    settings = mask_settings_of(RunFolder(tmp_path / "run"))
    assert (settings.batch, settings.optimizer.name, settings.optimizer.share) == (3, "rmsprop", 0.3)


def test_commands_lead_from_deepfacelab_and_back(tmp_path, capsys):
    numbers, *_ = saved(tmp_path / "dfl")
    assert main(["import", str(tmp_path / "dfl"), "-o", str(tmp_path / "run")]) == 0
    assert "--steps 11200" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "run"), "-o", str(tmp_path / "back"), "--name", "film"]) == 0
    written = pickle.loads((tmp_path / "back" / "film_SAEHD_inter.npy").read_bytes())
    assert {key: array.tobytes() for key, array in written.items()} == {
        key: array.tobytes() for key, array in numbers.parts["inter"].items()
    }
    assert main(["import", str(tmp_path / "none"), "-o", str(tmp_path / "other")]) == 1
    assert main(["import", str(tmp_path / "dfl")]) == 1
    assert "wanted a folder of model files and --output" in " ".join(capsys.readouterr().err.split())
