"""Tests of `captioner export`: a bundle that needs TensorFlow alone and says what the run says."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import builders
import numpy as np
import pytest
import tensorflow as tf

from model import export as exporter
from model.arguments import export_parser
from model.bundle import Bundle
from model.bundle_folder import ImageCaptions, read_bundle_config
from model.checkpoints import Checkpoints
from model.command import run_command
from model.config import ImageConfig, SamplerConfig
from model.config_json import to_json
from model.decoding_options import Decoding
from model.errors import CaptionerError
from model.export import export, fingerprint
from model.image import DECODER_VERSION
from model.loading import load_model
from model.run_folder import restore_captioner

PICTURES = np.stack(
    [builders.square_picture(builders.colour_of(i), seed=5000 + i) for i in range(5)]
)
# Loads a bundle where neither the project nor what it was made with can be imported.
_LOADER = """
import json, sys

HIDDEN = {"model", "pipelines", "apache_beam", "tensorflow_transform", "keras", "PIL"}

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        hidden = name.split(".")[0] in HIDDEN
        return None if hidden else self.finder.find_spec(name, path, target)

# To TensorFlow this is a machine on which Keras was never installed.
sys.meta_path = [Hiding(finder) for finder in sys.meta_path]
import numpy as np
import tensorflow as tf

loaded = tf.saved_model.load(sys.argv[1])
pictures = np.load(sys.argv[2])
pixels, served = (loaded.signatures[name] for name in ("caption_pixels", "serving_default"))
pngs = [tf.io.encode_png(picture).numpy() for picture in pictures]

def plain(outputs):
    texts = [[text.decode() for text in row] for row in outputs["captions"].numpy()]
    return {"captions": texts, "scores": outputs["scores"].numpy().tolist()}

print(json.dumps({
    "five": plain(pixels(images=tf.constant(pictures))),
    "one": plain(pixels(images=tf.constant(pictures[3:4]))),
    "png": plain(served(image_bytes=tf.constant(pngs))),
    "imported": sorted(HIDDEN & {name.split(".")[0] for name in sys.modules}),
    "tags": pixels(images=tf.constant(pictures))["tags"].shape.as_list(),
}))
"""


@pytest.fixture(scope="module")
def of_run(trained_run: Path) -> list[ImageCaptions]:
    """What the run itself says of `PICTURES`."""
    return load_model(trained_run).caption(PICTURES)


@pytest.fixture(scope="module")
def of_bundle(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What a process with TensorFlow alone makes of the bundle and `PICTURES`."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    np.save(elsewhere / "pictures.npy", PICTURES)
    hidden = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-I", "-c", _LOADER, str(bundle_folder), "pictures.npy"],
        cwd=elsewhere,
        env=hidden,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def assert_says(outputs: dict, expected: list[ImageCaptions]) -> None:
    texts = [[caption.text for caption in result.captions] for result in expected]
    scores = [[caption.score for caption in result.captions] for result in expected]
    assert outputs["captions"] == texts
    np.testing.assert_allclose(outputs["scores"], scores, atol=1e-4)


def test_the_bundle_says_what_the_run_says(of_bundle: dict, of_run: list[ImageCaptions]) -> None:
    assert_says(of_bundle["five"], of_run)
    assert of_bundle["imported"] == []
    assert of_bundle["tags"] == [5, 0]


def test_a_batch_of_one_says_the_same(of_bundle: dict, of_run: list[ImageCaptions]) -> None:
    assert_says(of_bundle["one"], of_run[3:4])


def test_files_of_the_right_size_say_the_same(of_bundle: dict, of_run: list[ImageCaptions]) -> None:
    assert_says(of_bundle["png"], of_run)


def test_pictures_are_told_apart(of_run: list[ImageCaptions]) -> None:
    for i, result in enumerate(of_run):
        said = f"a {builders.colour_of(i)} square on grey"
        assert result.captions[0].text in (said, f"{said} a dark grey")
    assert all(len(result.captions) == SamplerConfig().beam_width for result in of_run)


def test_the_loaded_bundle_captions_alike(bundle_folder: Path, of_run: list[ImageCaptions]) -> None:
    results = Bundle(bundle_folder).caption(PICTURES)
    outputs = {
        "captions": [[caption.text for caption in result.captions] for result in results],
        "scores": [[caption.score for caption in result.captions] for result in results],
    }
    assert_says(outputs, of_run)


def test_a_bundle_has_each_weight_once(bundle_folder: Path, trained_run: Path) -> None:
    saved = tf.train.list_variables(str(bundle_folder / "variables" / "variables"))
    shapes = sorted(shape for name, shape in saved if name.startswith("weights/"))
    captioner, _, _ = restore_captioner(trained_run)
    assert shapes == sorted(list(weight.shape) for weight in captioner.variables)
    others = {name.split("/")[0] for name, _ in saved} - {"weights"}
    assert others == {"_CHECKPOINTABLE_OBJECT_GRAPH"}


def test_a_bundle_draws_at_random_what_the_run_draws(trained_run: Path, tmp_path: Path) -> None:
    decoding = Decoding.of(
        {"sampler": "nucleus", "temperature": 3.0, "top_p": 1.0, "ban_words": "red,grey"}
    )
    export(trained_run, tmp_path / "bundle", SamplerConfig(**dict(decoding.changes)))
    bundle = Bundle(tmp_path / "bundle")
    drawn, again = bundle.caption(PICTURES), bundle.caption(PICTURES)
    assert drawn == again
    of_run = load_model(trained_run, decoding).caption(PICTURES)
    texts = [result.captions[0].text for result in of_run]
    assert [result.captions[0].text for result in drawn] == texts
    assert len(set(texts)) > 1
    assert not {"red", "grey"} & {word for text in texts for word in text.split()}


def test_the_bundle_holds_what_its_users_need(bundle_folder: Path, trained_run: Path) -> None:
    config = read_bundle_config(bundle_folder)
    assert config.decoder_version == DECODER_VERSION
    assert config.image.image_size_px == builders.SIZE_PX
    assert config.sampler == SamplerConfig()
    assert config.max_length == builders.TINY_RUN["max_length"]
    assert config.vocabulary_size == len(builders.VOCABULARY)
    assert config.low_score is None
    words = (trained_run / "vocabulary.txt").read_bytes()
    assert (bundle_folder / "vocabulary.txt").read_bytes() == words
    card = (bundle_folder / "MODEL_CARD.md").read_text()
    assert config.model_fingerprint in card
    assert "Not measured" in card


def test_nothing_is_left_beside_the_bundle(bundle_folder: Path) -> None:
    assert [path.name for path in bundle_folder.parent.iterdir()] == [bundle_folder.name]


def test_an_output_that_exists_is_refused(trained_run: Path, tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match="exists; choose another folder or delete it"):
        export(trained_run, tmp_path, SamplerConfig())


def test_a_failed_export_leaves_nothing(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(graph: object, folder: Path, engine: str) -> None:
        (folder / "variables").mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(exporter, "write_saved_model", fail)
    with pytest.raises(OSError, match="no space"):
        export(trained_run, tmp_path / "bundle", SamplerConfig())
    assert list(tmp_path.iterdir()) == []


def test_of_two_exports_the_first_to_end_stays(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(graph: object, folder: Path, engine: str) -> None:
        folder.mkdir()
        (tmp_path / "bundle").mkdir()
        (tmp_path / "bundle" / "saved_model.pb").write_bytes(b"the other's")

    monkeypatch.setattr(exporter, "write_saved_model", write)
    with pytest.raises(CaptionerError, match="bundle was made by something else meanwhile"):
        export(trained_run, tmp_path / "bundle", SamplerConfig())
    assert [path.name for path in tmp_path.rglob("*")] == ["bundle", "saved_model.pb"]


def test_metrics_of_the_run_go_into_the_bundle(
    trained_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics = {
        "images": 8,
        "split": "test",
        "dataset_fingerprint": "squares",
        "epoch": Checkpoints(trained_run).progress().best_epoch,
        "sampler": dataclasses.asdict(SamplerConfig()),
        "tokeniser": "python",
        "low_score": -1.5,
        "scores": {"cider": 0.5},
    }
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    (run / "metrics.json").write_text(json.dumps(metrics))
    monkeypatch.setattr(exporter, "write_saved_model", lambda _, folder, engine: folder.mkdir())
    assert export(run, tmp_path / "bundle", SamplerConfig()).low_score == -1.5
    # What an earlier version evaluated knows nothing of an order that this run has not.
    del metrics["sampler"]["concept_weight"]
    (run / "metrics.json").write_text(json.dumps(metrics))
    assert export(run, tmp_path / "old", SamplerConfig()).low_score == -1.5
    assert "another sampler" not in capsys.readouterr().err
    assert json.loads((tmp_path / "old" / "metrics.json").read_text()) == metrics
    assert "| cider | 0.5000 |" in (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    # Scores of a beam say nothing of those of greedy search, nor an epoch's of another's.
    assert export(run, tmp_path / "greedy", SamplerConfig(beam_width=1)).low_score is None
    assert (tmp_path / "greedy" / "metrics.json").exists()
    assert "another sampler" in capsys.readouterr().err
    (run / "metrics.json").write_text(json.dumps({**metrics, "epoch": 1}))
    assert export(run, tmp_path / "later", SamplerConfig()).low_score is None
    assert not (tmp_path / "later" / "metrics.json").exists()
    assert "is of epoch 1, exported is epoch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected JSON"),
        ("null", "got nothing of dataset_fingerprint, epoch"),
        ('{"epoch": 3, "split": "test"}', "got nothing of dataset_fingerprint, images"),
    ],
)
def test_metrics_that_something_else_wrote_are_told(
    text: str, told: str, trained_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").write_text(text)
    with pytest.raises(CaptionerError, match=rf"metrics\.json: .*{told}.*; run captioner evaluate"):
        export(tmp_path / "run", tmp_path / "bundle", SamplerConfig())
    assert not (tmp_path / "bundle").exists()


def test_options_that_mean_nothing_to_the_sampler_are_refused(
    trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [f"--run={trained_run}", f"--output={tmp_path}/bundle", "--temperature=0.5"]
    assert run_command(export_parser(), exporter.run, options) == 2
    assert "--temperature: got 0.5 for beam search" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["b[1]", "b*", "what?"])
def test_a_name_that_tensorflow_takes_for_a_pattern_is_refused(
    trained_run: Path, bundle_folder: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(CaptionerError, match="pattern; choose a name without"):
        export(trained_run, tmp_path / name, SamplerConfig())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / name).symlink_to(bundle_folder)
    with pytest.raises(CaptionerError, match="pattern; choose a name without"):
        Bundle(tmp_path / name)


def test_an_output_inside_of_a_file_is_refused(trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("dear")
    with pytest.raises(CaptionerError, match="notes is a file; expected a folder"):
        export(trained_run, tmp_path / "notes" / "bundle", SamplerConfig())


def change_config(folder: Path, bundle: Path, **changes: object) -> Path:
    """A folder with the files that are read before the model, `bundle.json` changed."""
    folder.mkdir()
    config = dataclasses.replace(read_bundle_config(bundle), **changes)
    (folder / "bundle.json").write_text(to_json(config))
    return folder


def test_a_bundle_of_another_decoder_version_is_refused(
    bundle_folder: Path, tmp_path: Path
) -> None:
    folder = change_config(tmp_path / "b", bundle_folder, decoder_version="pillow-0")
    with pytest.raises(CaptionerError, match=r"'pillow-0'.*captions would be worse"):
        Bundle(folder)


def test_a_bundle_without_its_model_is_refused(bundle_folder: Path, tmp_path: Path) -> None:
    folder = change_config(tmp_path / "b", bundle_folder)
    with pytest.raises(CaptionerError, match=r"it has no saved_model\.pb; export or copy"):
        read_bundle_config(folder)
    with pytest.raises(CaptionerError, match="is no bundle"):
        read_bundle_config(tmp_path)


@pytest.fixture(scope="module")
def restored(trained_run: Path) -> tuple:
    return restore_captioner(trained_run)[:2]


def test_the_fingerprint_is_of_the_model_and_not_of_the_process(
    restored: tuple, bundle_folder: Path, trained_run: Path
) -> None:
    words = (trained_run / "vocabulary.txt").read_bytes()
    exported = read_bundle_config(bundle_folder).model_fingerprint
    assert fingerprint(*restored, SamplerConfig(), words) == exported


def test_the_fingerprint_changes_with_whatever_decides_a_caption(restored: tuple) -> None:
    captioner, config = restored
    marks = [fingerprint(captioner, config, SamplerConfig(), b"words")]
    marks.append(fingerprint(captioner, config, SamplerConfig(beam_width=2), b"words"))
    marks.append(fingerprint(captioner, config, SamplerConfig(), b"other words"))
    longer = dataclasses.replace(config, train=dataclasses.replace(config.train, max_length=9))
    marks.append(fingerprint(captioner, longer, SamplerConfig(), b"words"))
    known = dataclasses.replace(config, concepts=("red",), concept_shares=(0.25,))
    for changes in ({}, {"concept_shares": (0.5,)}, {"concepts": ("green",)}):
        other = dataclasses.replace(known, **changes)
        marks.append(fingerprint(captioner, other, SamplerConfig(), b"words"))
    for changes in ({"decoder_version": "pillow-0"}, {"image": ImageConfig(64)}):
        other = dataclasses.replace(config, **changes)
        marks.append(fingerprint(captioner, other, SamplerConfig(), b"words"))
    weight = captioner.decoder.logits.bias
    value = np.array(weight)
    weight.assign(value + 1e-3)
    marks.append(fingerprint(captioner, config, SamplerConfig(), b"words"))
    weight.assign(value)
    assert len(set(marks)) == len(marks)
    assert fingerprint(captioner, config, SamplerConfig(), b"words") == marks[0]
    # Where the encoder's weights came from decides nothing.
    model = dataclasses.replace(config.model, encoder_weights="elsewhere.weights.h5")
    moved = dataclasses.replace(config, model=model)
    assert fingerprint(captioner, moved, SamplerConfig(), b"words") == marks[0]
