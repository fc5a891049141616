"""Tests of a bundle computed by ONNX Runtime: it says what TensorFlow says, and needs none."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import builders
import keras
import numpy as np
import pytest
import tensorflow as tf
from builders import PICTURES, assert_alike

from model.bundle import Bundle, to_captions
from model.bundle_folder import ModelError, read_bundle_config
from model.caption_graph import CaptionGraph
from model.captioner import build_captioner
from model.config import ImageConfig, ModelConfig, SamplerConfig
from model.config_json import to_json
from model.decoding_options import Decoding
from model.engine import AUTO, OFF, ON, ONNX_FILE, ONNXRUNTIME, Engine, choose_engine
from model.errors import CaptionerError
from model.export import export
from model.loading import load_model
from model.onnx_bundle import start_session
from model.open_bundle import open_bundle
from model.vocabulary import Vocabulary

BY_ONNX = Engine(ONNXRUNTIME)
PACKAGES = ("onnxruntime", "onnx", "tf2onnx")


@pytest.fixture(scope="session")
def installed() -> None:
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed")


@pytest.fixture(scope="module")
def onnx_bundle(
    installed: None, trained_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The bundle of `trained_run` with what ONNX Runtime needs; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("onnx") / "bundle"
    export(trained_run, folder, SamplerConfig(), ONNXRUNTIME)
    return folder


@pytest.mark.parametrize("count", [6, 1])
def test_it_says_what_tensorflow_says(onnx_bundle: Path, bundle_folder: Path, count: int) -> None:
    pictures = PICTURES[-count:]
    results = open_bundle(onnx_bundle, BY_ONNX).caption(pictures)
    assert_alike(results, Bundle(bundle_folder).caption(pictures), atol=1e-4)
    assert len({result.captions[0].text for result in results}) == min(count, 4)


def test_the_bundle_needs_no_onnx_runtime(
    onnx_bundle: Path, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in PACKAGES:
        monkeypatch.setitem(sys.modules, package, None)
    expected = Bundle(bundle_folder).caption(PICTURES)
    assert_alike(open_bundle(onnx_bundle).caption(PICTURES), expected, atol=1e-5)


SAMPLERS = {
    "constrained beam": SamplerConfig(ban_words="on", no_repeat_ngram=2, min_length=2),
    "greedy": SamplerConfig(sampler="greedy"),
    "nucleus": SamplerConfig(sampler="nucleus", samples=2, top_k=5),
}


def tiny_graph(decoder: str, sampler: SamplerConfig) -> CaptionGraph:
    """A captioner with a recogniser of the colours that was never trained."""
    keras.utils.set_random_seed(3)
    sizes = {"embedding_dim": 16, "hidden_dim": 16, "units": 16, "heads": 2, "decoder_layers": 1}
    model = ModelConfig("cnn", None, decoder=decoder, **sizes)
    vocabulary = Vocabulary(builders.VOCABULARY)
    ids = tuple(vocabulary.tokens.index(concept) for concept in builders.COLOURS)
    captioner = build_captioner(model, ImageConfig(32), len(vocabulary), ids, 8)
    for weight in captioner.decoder.trainable_variables:
        weight.assign(4 * weight)  # so that what it says depends on the picture
    return CaptionGraph(captioner, vocabulary, sampler, 8, ImageConfig(32))


@pytest.mark.parametrize(
    ("decoder", "sampler"),
    [("transformer", "constrained beam"), ("lstm", "greedy"), ("gru", "nucleus")],
)
def test_every_decoder_and_sampler(
    installed: None, onnx_bundle: Path, tmp_path: Path, decoder: str, sampler: str
) -> None:
    from model.onnx_export import write_onnx

    for name in ("saved_model.pb", "variables/variables.index", "vocabulary.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((onnx_bundle / name).read_bytes())
    config = read_bundle_config(onnx_bundle)
    config = dataclasses.replace(config, concepts=tuple(builders.COLOURS))
    (tmp_path / "bundle.json").write_text(to_json(config))
    graph = tiny_graph(decoder, SAMPLERS[sampler])
    write_onnx(graph, tmp_path / ONNX_FILE)
    bundle = open_bundle(tmp_path, BY_ONNX)
    results, expected = bundle.caption(PICTURES), to_captions(graph.caption_pixels(PICTURES), 6)
    assert_alike(results, expected, atol=1e-3)
    assert len({result.captions[0].text for result in results}) > 1
    for result, other in zip(results, expected, strict=True):
        assert [tag.text for tag in result.tags] == [tag.text for tag in other.tags]
        scores = [tag.score for tag in other.tags]
        np.testing.assert_allclose([tag.score for tag in result.tags], scores, atol=1e-4)
    np.testing.assert_allclose(bundle.tag(PICTURES), graph.tag_pixels(PICTURES), atol=1e-4)


def test_tensorflow_is_not_imported(onnx_bundle: Path) -> None:
    program = textwrap.dedent(f"""
        import sys
        from pathlib import Path

        import numpy as np

        from model.engine import Engine
        from model.open_bundle import open_bundle

        bundle = open_bundle(Path({str(onnx_bundle)!r}), Engine("onnxruntime"))
        (result,) = bundle.caption(np.zeros((1, 32, 32, 3), np.uint8))
        assert result.captions[0].text
        assert not {{"tensorflow", "keras"}} & set(sys.modules), sorted(sys.modules)
    """)
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root, timeout=120)


def test_evaluation_is_by_the_engine_asked_for(onnx_bundle: Path, trained_run: Path) -> None:
    expected = load_model(trained_run, SamplerConfig()).caption(PICTURES)
    by_onnx = load_model(onnx_bundle, SamplerConfig(), BY_ONNX)
    assert_alike(by_onnx.caption(PICTURES), expected, atol=1e-4)


def test_what_cannot_be_computed_is_told(onnx_bundle: Path) -> None:
    bundle = open_bundle(onnx_bundle, BY_ONNX)
    with pytest.raises(ModelError, match="Got invalid dimensions for input: images"):
        bundle.caption(np.zeros((1, 16, 16, 3), np.uint8))


def test_too_little_memory_is_told_as_such(
    onnx_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the words of ONNX Runtime: a smaller batch may do."""
    bundle = open_bundle(onnx_bundle, BY_ONNX)
    (failure,) = (kind for kind in bundle._failures if kind.__name__ == "RuntimeException")
    told = "Non-zero status code: BFCArena::AllocateRawInternal Failed to allocate memory"

    class Full:
        def run(self, *given: object) -> None:
            raise failure(told)

    monkeypatch.setattr(bundle, "_session", Full())
    with pytest.raises(MemoryError, match="Failed to allocate"):
        bundle.caption(PICTURES)


def test_threads_may_caption_at_the_same_time(onnx_bundle: Path) -> None:
    bundle = open_bundle(onnx_bundle, BY_ONNX)
    batches = [PICTURES[i : i + 3] for i in range(4)] * 3
    expected = [bundle.caption(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(bundle.caption, batches))
    for results, others in zip(found, expected, strict=True):
        assert_alike(results, others, atol=1e-5)


@pytest.mark.parametrize(("told", "expected"), [("3", 3), ("", len(os.sched_getaffinity(0)))])
def test_it_computes_with_the_threads_it_is_told(
    onnx_bundle: Path, monkeypatch: pytest.MonkeyPatch, told: str, expected: int
) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", told)
    session = open_bundle(onnx_bundle, BY_ONNX)._session
    assert session.get_session_options().intra_op_num_threads == expected


def test_decoding_otherwise_needs_another_export(onnx_bundle: Path) -> None:
    same = Decoding((("beam_width", 3),))
    assert open_bundle(onnx_bundle, BY_ONNX, same).config.sampler.beam_width == 3
    with pytest.raises(CaptionerError, match="as the bundle was exported, got --beam-width 2;"):
        open_bundle(onnx_bundle, BY_ONNX, Decoding((("beam_width", 2),)))


def test_a_bundle_that_was_not_made_for_it_is_refused(installed: None, bundle_folder: Path) -> None:
    expected = r"has no captioner\.onnx; .* captioner export --engine onnxruntime"
    with pytest.raises(CaptionerError, match=expected):
        open_bundle(bundle_folder, BY_ONNX)


def test_a_damaged_file_is_one_line(onnx_bundle: Path, tmp_path: Path) -> None:
    for path in ("bundle.json", "vocabulary.txt", "saved_model.pb"):
        (tmp_path / path).write_bytes((onnx_bundle / path).read_bytes())
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "variables.index").touch()
    (tmp_path / ONNX_FILE).write_bytes((onnx_bundle / ONNX_FILE).read_bytes()[:9000])
    with pytest.raises(CaptionerError, match=r"captioner\.onnx cannot be loaded: .*; export"):
        open_bundle(tmp_path, BY_ONNX)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_that_is_not_installed_is_named(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    expected = rf"{package} is not installed; run pip install 'captioner\[onnxruntime\]'"
    with pytest.raises(CaptionerError, match=expected):
        export(trained_run, tmp_path / "bundle", SamplerConfig(), ONNXRUNTIME)
    assert list(tmp_path.iterdir()) == []


def test_it_has_no_bfloat16() -> None:
    assert choose_engine(ONNXRUNTIME, OFF) == choose_engine(ONNXRUNTIME, AUTO) == BY_ONNX
    with pytest.raises(CaptionerError, match="onnxruntime computes in float32"):
        choose_engine(ONNXRUNTIME, ON)


def test_what_it_cannot_compute_is_not_exported(
    installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model.onnx_export import write_onnx

    def with_an_unknown_operation(self: CaptionGraph, images: tf.Tensor) -> dict[str, tf.Tensor]:
        told = spell(self, images)
        return {**told, "scores": tf.math.lgamma(told["scores"])}

    spell = CaptionGraph.spell_pixels
    monkeypatch.setattr(CaptionGraph, "spell_pixels", with_an_unknown_operation)
    with pytest.raises(CaptionerError, match=r"onnxruntime cannot compute this model: .*Lgamma"):
        write_onnx(tiny_graph("gru", SAMPLERS["greedy"]), tmp_path / ONNX_FILE)


def test_what_scores_otherwise_is_not_exported(
    installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model import onnx_export

    class Drifting:
        """A session that computes something else."""

        def __init__(self, *given: object) -> None:
            self.session = start_session(*given)

        def run(self, *given: object) -> list[np.ndarray]:
            return [scores + 0.5 for scores in self.session.run(*given)]

    monkeypatch.setattr(onnx_export, "start_session", Drifting)
    with pytest.raises(CaptionerError, match=r"scores of 3 .* TensorFlow's by up to 0\.5"):
        onnx_export.write_onnx(tiny_graph("gru", SAMPLERS["greedy"]), tmp_path / ONNX_FILE)
