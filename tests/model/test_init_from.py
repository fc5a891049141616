"""Tests of ``captioner train --init-from``: a run or a bundle to start from."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pytest

from model.artifacts import BundleConfig, FeatureConfig, RunConfig
from model.captioner import Captioner
from model.checkpoints import Checkpoints, Progress
from model.config import ModelConfig, SamplerConfig, TrainConfig
from model.config_json import read_json, to_json
from model.dataset import read_dataset_info
from model.decoding_options import Decoding
from model.errors import CaptionerError
from model.loading import load_model
from model.run_config import RUN_FILE, WEIGHTS_OF_DATASET, make_run_config
from model.run_folder import make_captioner, restore_captioner
from model.training import CrossEntropyTraining
from model.vocabulary import Vocabulary
from model.warm_start import start_from

# Nothing is learnt at such a rate: what comes out is what went in.
STILL = {"epochs": 1, "learning_rate": 1e-12}
WORDS = Vocabulary(builders.VOCABULARY)


def weights(run: Path) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in restore_captioner(run)[0].trainable_weights]


def captions(run: Path) -> list[str]:
    """What the best epoch of a run writes of a square of each colour that it knows."""
    model = load_model(run, Decoding((("beam_width", 1),)))
    pictures = [builders.square_picture(colour, seed=3) for colour in ("red", "green", "blue")]
    return [result.captions[0].text for result in model.caption(np.stack(pictures))]


def test_training_starts_from_the_weights_of_a_bundle(
    trained_run: Path, bundle_folder: Path
) -> None:
    trained, config, _ = restore_captioner(trained_run)
    captioner = make_captioner(config, WORDS, weights=None)
    start_from(captioner, config, bundle_folder, WORDS)
    for old, new in zip(trained.weights, captioner.weights, strict=True):
        np.testing.assert_array_equal(new, old)


def test_training_starts_from_the_weights_of_a_run_and_goes_on_without_it(
    trained_run: Path, squares: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(trained_run, source)
    changes = {"init_from": source, **STILL}
    assert builders.train(squares, tmp_path / "run", **changes) == 0
    for old, new in zip(weights(trained_run), weights(tmp_path / "run"), strict=True):
        np.testing.assert_allclose(new, old, atol=1e-5)
    (progress_file,) = (tmp_path / "run" / "checkpoints").glob("*/progress.json")
    progress = json.loads(progress_file.read_text())
    progress_file.write_text(json.dumps({**progress, "ended": None}))
    shutil.rmtree(source)
    assert builders.train(squares, tmp_path / "run", **changes) == 0
    assert Checkpoints(tmp_path / "run").progress().ended == "all epochs done"


def test_a_folder_without_its_vocabulary_is_refused(
    trained_run: Path, squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    shutil.copytree(trained_run, source)
    (source / "vocabulary.txt").unlink()
    assert builders.train(squares, tmp_path / "run", init_from=source) == 2
    assert f"{source} has no vocabulary.txt" in capsys.readouterr().err


def test_self_critical_training_may_start_from_a_run_at_once_and_tells_if_it_was_better(
    trained_run: Path,
    squares: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes = {"epochs": 0, "self_critical_epochs": 1, "self_critical_passes": 2}
    changes["self_critical_learning_rate"] = 0.5
    assert builders.train(squares, tmp_path / "run", init_from=trained_run, **changes) == 0
    printed = capsys.readouterr().out
    started = re.search(r"it starts with a validation CIDEr of (\d+\.\d)", printed)
    assert started
    assert f"note: no epoch was as good as {trained_run.resolve()}" in printed
    progress = Checkpoints(tmp_path / "run").progress()
    assert (progress.epoch, progress.ended) == (2, "all epochs done")
    history = (tmp_path / "run" / "history_self_critical.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in history] == ["epoch", "1", "2"]
    assert progress.start_cider == pytest.approx(float(started[1]) / 100, abs=1e-3)
    assert progress.best_cider < progress.start_cider
    # Named from elsewhere, it is the same run.
    monkeypatch.chdir(trained_run.parent)
    again = {"init_from": trained_run.name, **changes}
    assert builders.train(squares, tmp_path / "run", **again) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_a_bundle_without_its_weights_is_refused(
    bundle_folder: Path, squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(bundle_folder, tmp_path / "bundle")
    (tmp_path / "bundle" / "captioner.weights.h5").unlink()
    assert builders.train(squares, tmp_path / "run", init_from=tmp_path / "bundle") == 2
    assert "bundle has no captioner.weights.h5" in capsys.readouterr().err


def test_another_architecture_is_refused(
    trained_run: Path, squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert builders.train(squares, tmp_path / "run", init_from=trained_run, units=32) == 2
    error = capsys.readouterr().err
    assert "is of another architecture" in error
    assert "(differing: units: got 64, asked for 32)" in error
    assert not (tmp_path / "run").exists()


def test_concepts_that_nothing_would_teach_are_refused(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builders.untrained_run(squares, tmp_path / "start", concepts=4)
    changes = {"epochs": 0, "self_critical_epochs": 1, "init_from": tmp_path / "start"}
    assert builders.train(squares, tmp_path / "run", concepts=7, **changes) == 2
    assert "--epochs: got 0, but 3 of the concepts are new to" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["run", "bundle"])
def test_a_dataset_of_other_words_starts_from_what_is_known_of_its_own(
    kind: str,
    trained_run: Path,
    bundle_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    info = builders.write_dataset(tmp_path / "d", {"train": 6, "validation": 4})
    others = {"red": "blue", "blue": "red", "yellow": "violet"}
    words = [others.get(word, word) for word in builders.VOCABULARY]
    (tmp_path / "d" / "vocabulary.txt").write_text("\n".join(words) + "\n")
    start = trained_run if kind == "run" else bundle_folder
    changes = {"init_from": start, **STILL}
    assert builders.train(tmp_path / "d", tmp_path / "run", **changes) == 0
    printed = capsys.readouterr().out
    assert f"1 of the dataset's {info.vocabulary_size} tokens are new to {start}" in printed
    # Their token ids are others, what they are said of is not.
    assert captions(tmp_path / "run") == captions(trained_run)


def test_a_folder_that_is_neither_is_refused(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert builders.train(squares, tmp_path / "run", init_from=tmp_path) == 2
    assert "is no run" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["run", "bundle"])
def test_what_other_pixels_were_learnt_from_is_refused(
    kind: str, trained_run: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    config = read_json(RunConfig, trained_run / RUN_FILE, "run")
    made, name = (trained_run, RUN_FILE) if kind == "run" else (bundle_folder, "bundle.json")
    told = json.loads((made / name).read_text())
    (tmp_path / name).write_text(json.dumps({**told, "decoder_version": "pillow-0"}))
    captioner: Any = None  # it is not asked for its weights
    with pytest.raises(CaptionerError, match="'pillow-0'"):
        start_from(captioner, config, tmp_path, WORDS)
    if kind == "run":
        with pytest.raises(CaptionerError, match="'pillow-0'"):
            restore_captioner(tmp_path)


def of_stored_features(squares: Path) -> tuple[Captioner, Any]:
    """A captioner of a real backbone, its weights random, and its run on stored features."""
    features = FeatureConfig("MobileNet", "", views=1, patches=1, channels=1024)
    info = dataclasses.replace(read_dataset_info(squares), features=features)
    model = ModelConfig("MobileNet", units=16, decoder="gru", concepts=0)
    config = make_run_config(info, model, TrainConfig(max_length=8))
    assert config.model.encoder_weights == WEIGHTS_OF_DATASET
    return make_captioner(config, WORDS, weights=None), config


def save_start(folder: Path, kind: str, captioner: Captioner, config: Any) -> None:
    """Writes what a start is read from: of a run or of a bundle."""
    folder.mkdir()
    (folder / "vocabulary.txt").write_text("\n".join(builders.VOCABULARY))
    if kind == "run":
        (folder / RUN_FILE).write_text(to_json(config))
        training = CrossEntropyTraining(captioner, config.train)
        Checkpoints(folder).save(training, Progress().after(1.0, 1.0))
        return
    shared = {field.name for field in dataclasses.fields(BundleConfig)}
    fields = {name: value for name, value in vars(config).items() if name in shared}
    bundle = BundleConfig("", sampler=SamplerConfig(), max_length=8, low_score=None, **fields)
    (folder / "bundle.json").write_text(to_json(bundle))
    captioner.save_weights(folder / "captioner.weights.h5")


@pytest.mark.parametrize("kind", ["run", "bundle"])
def test_stored_features_need_the_image_encoder_that_made_them(
    kind: str, squares: Path, tmp_path: Path
) -> None:
    captioner, config = of_stored_features(squares)
    save_start(tmp_path / "same", kind, captioner, config)
    start_from(captioner, config, tmp_path / "same", WORDS)
    # As a fine-tuned encoder: some weight of it is another one, and by little.
    tuned, _ = of_stored_features(squares)
    tuned.set_weights(captioner.get_weights())
    weight = tuned.image_encoder.weights[-1]
    weight.assign(weight + 1e-3)
    save_start(tmp_path / "other", kind, tuned, config)
    with pytest.raises(CaptionerError, match=r"other: its image encoder .*differ by up to 0\.001"):
        start_from(captioner, config, tmp_path / "other", WORDS)
    # Where pictures are encoded in every step, the start's encoder is what training uses.
    for changes in ({"encoder_weights": None}, {"fine_tune_from": "conv_pw_13"}):
        model = dataclasses.replace(config.model, **changes)
        start_from(captioner, dataclasses.replace(config, model=model), tmp_path / "other", WORDS)
