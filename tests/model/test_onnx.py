"""Tests of a bundle computed by another engine: it says what TensorFlow says, and needs none."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
import textwrap
from collections.abc import Sequence
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
from model.engine import (
    AUTO,
    ENCODER_FILE,
    ONNX_FILE,
    ONNXRUNTIME,
    OPENVINO,
    STEM_FILE,
    Engine,
    read_cpu_info,
    wants_bfloat16,
)
from model.errors import CaptionerError
from model.export import export
from model.loading import load_model
from model.neighbours import make_neighbours
from model.onnx_graph import SCORES, TAG_SCORES, OnnxGraph
from model.open_bundle import open_bundle
from model.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[2]


def is_installed(engine: str) -> bool:
    # Not imported: how the project imports OpenVINO decides whom it reports to.
    return all(importlib.util.find_spec(name) for name in (engine, "onnx", "tf2onnx"))


@pytest.fixture(scope="session")
def engines() -> list[Engine]:
    """All that are installed: they compute the same files."""
    installed = [Engine(name) for name in (ONNXRUNTIME, OPENVINO) if is_installed(name)]
    return installed or pytest.skip("neither OpenVINO nor ONNX Runtime is installed")


@pytest.fixture(scope="session", params=[ONNXRUNTIME, OPENVINO])
def engine(request: pytest.FixtureRequest) -> Engine:
    if not is_installed(request.param):
        pytest.skip(f"the packages of {request.param} are not installed")
    return Engine(request.param)


@pytest.fixture(scope="module")
def onnx_bundle(
    engines: list[Engine], trained_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The bundle of `trained_run` with what the engines need; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("onnx") / "bundle"
    export(trained_run, folder, SamplerConfig(), engines[0].name)
    return folder


@pytest.mark.parametrize("count", [6, 1])
def test_it_says_what_tensorflow_says(
    engine: Engine, onnx_bundle: Path, bundle_folder: Path, count: int
) -> None:
    pictures = PICTURES[-count:]
    results = open_bundle(onnx_bundle, engine).caption(pictures)
    assert_alike(results, Bundle(bundle_folder).caption(pictures), atol=1e-4)
    assert len({result.captions[0].text for result in results}) == min(count, 4)


def test_tensorflow_computes_the_bundle_without_an_engine(
    onnx_bundle: Path, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in (ONNXRUNTIME, OPENVINO, "onnx", "tf2onnx"):
        monkeypatch.setitem(sys.modules, package, None)
    expected = Bundle(bundle_folder).caption(PICTURES)
    assert_alike(open_bundle(onnx_bundle).caption(PICTURES), expected, atol=1e-5)


SAMPLERS = {
    "constrained beam": SamplerConfig(
        ban_words="on", no_repeat_ngram=2, min_length=2, concept_weight=5.0
    ),
    "beam": SamplerConfig(neighbour_weight=10.0),
    "greedy": SamplerConfig(sampler="greedy"),
    "nucleus": SamplerConfig(sampler="nucleus", samples=2, top_k=5, concept_weight=5.0),
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
    shares = (0.4, 0.3, 0.2, 0.1)
    rng = np.random.default_rng(4)
    pooled = rng.random((50, captioner.image_encoder.channels), np.float32)
    told = [[rng.integers(4, len(vocabulary), 5).tolist()] for _ in range(50)]
    neighbours = make_neighbours(pooled, told)
    return CaptionGraph(captioner, vocabulary, sampler, 8, ImageConfig(32), shares, neighbours)


@pytest.mark.parametrize(
    ("decoder", "sampler"),
    [
        ("transformer", "constrained beam"),
        ("transformer", "beam"),
        ("lstm", "greedy"),
        ("gru", "nucleus"),
    ],
)
def test_every_decoder_and_sampler(
    engines: list[Engine], onnx_bundle: Path, tmp_path: Path, decoder: str, sampler: str
) -> None:
    from model.onnx_export import write_onnx

    for name in ("saved_model.pb", "variables/variables.index", "vocabulary.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((onnx_bundle / name).read_bytes())
    config = read_bundle_config(onnx_bundle)
    config = dataclasses.replace(config, concepts=tuple(builders.COLOURS))
    (tmp_path / "bundle.json").write_text(to_json(config))
    graph = tiny_graph(decoder, SAMPLERS[sampler])
    write_onnx(graph, tmp_path, engines[-1].name)
    expected, tagged = to_captions(graph.caption_pixels(PICTURES), 6), graph.tag_pixels(PICTURES)
    for engine in engines:
        bundle = open_bundle(tmp_path, engine)
        results = bundle.caption(PICTURES)
        assert_alike(results, expected, atol=1e-3)
        assert len({result.captions[0].text for result in results}) > 1
        for result, other in zip(results, expected, strict=True):
            assert [tag.text for tag in result.tags] == [tag.text for tag in other.tags]
            scores = [tag.score for tag in other.tags]
            np.testing.assert_allclose([tag.score for tag in result.tags], scores, atol=1e-4)
        np.testing.assert_allclose(bundle.tag(PICTURES), tagged, atol=1e-4)


def test_tensorflow_is_not_imported(engine: Engine, onnx_bundle: Path) -> None:
    program = textwrap.dedent(f"""
        import sys
        from pathlib import Path

        import numpy as np

        from model.engine import Engine
        from model.open_bundle import open_bundle

        bundle = open_bundle(Path({str(onnx_bundle)!r}), Engine({engine.name!r}))
        (result,) = bundle.caption(np.zeros((1, 32, 32, 3), np.uint8))
        assert result.captions[0].text
        assert not {{"tensorflow", "keras"}} & set(sys.modules), sorted(sys.modules)
    """)
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, timeout=120)


def test_evaluation_is_by_the_engine_asked_for(
    engine: Engine, onnx_bundle: Path, trained_run: Path
) -> None:
    expected = load_model(trained_run).caption(PICTURES)
    model = load_model(onnx_bundle, engine=engine)
    assert model.engine == engine
    assert_alike(model.caption(PICTURES), expected, atol=1e-4)


def test_what_cannot_be_computed_is_told(engine: Engine, onnx_bundle: Path) -> None:
    bundle = open_bundle(onnx_bundle, engine)
    with pytest.raises(ModelError, match=r"invalid dimensions|is incompatible with"):
        bundle.caption(np.zeros((1, 16, 16, 3), np.uint8))


def test_threads_may_caption_at_the_same_time(engine: Engine, onnx_bundle: Path) -> None:
    batches = [PICTURES[i : i + 3] for i in range(4)] * 3
    expected = [open_bundle(onnx_bundle, engine).caption(batch) for batch in batches[:4]] * 3
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(open_bundle(onnx_bundle, engine).caption, batches))
    for results, others in zip(found, expected, strict=True):
        assert_alike(results, others, atol=1e-5)


def test_decoding_otherwise_needs_another_export(engine: Engine, onnx_bundle: Path) -> None:
    same = Decoding((("beam_width", 6),))
    assert open_bundle(onnx_bundle, engine, same).config.sampler.beam_width == 6
    with pytest.raises(CaptionerError, match="as the bundle was exported, got --beam-width 2;"):
        open_bundle(onnx_bundle, engine, Decoding((("beam_width", 2),)))


def copy_bundle(bundle: Path, folder: Path) -> Path:
    for path in bundle.rglob("*"):
        if path.is_file():
            copy = folder / path.relative_to(bundle)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("name", [ENCODER_FILE, ONNX_FILE])
def test_a_damaged_file_is_one_line(
    engine: Engine, onnx_bundle: Path, tmp_path: Path, name: str
) -> None:
    copy_bundle(onnx_bundle, tmp_path)
    (tmp_path / name).write_bytes((onnx_bundle / name).read_bytes()[:900])
    with pytest.raises(CaptionerError, match=r"\.onnx cannot be loaded: .*; export") as told:
        open_bundle(tmp_path, engine)
    assert "\n" not in str(told.value)


def test_a_missing_stage_is_told(engine: Engine, onnx_bundle: Path, tmp_path: Path) -> None:
    copy_bundle(onnx_bundle, tmp_path)
    (tmp_path / ENCODER_FILE).unlink()
    with pytest.raises(CaptionerError, match="a file is missing or another bundle's: export it"):
        open_bundle(tmp_path, engine)


def test_openvino_reports_to_nobody(engine: Engine, onnx_bundle: Path) -> None:
    if engine.name != OPENVINO:
        pytest.skip("of OpenVINO")
    open_bundle(onnx_bundle, engine)
    stub = sys.modules["openvino.tools.ovc.telemetry_stub"]
    assert sys.modules["openvino.tools.ovc.telemetry_utils"].tm is stub


@pytest.fixture(scope="module")
def strided(
    engines: list[Engine], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, keras.Model]:
    """A folder with a network of the layers of a MobileNetV2 in its stages, and the network."""
    import onnx

    from model.onnx_export import _convert

    network = builders.strided_network(64)

    def scores(images: tf.Tensor) -> dict[str, tf.Tensor]:
        grid = network(tf.cast(images, tf.float32) / 127.5 - 1)
        return {"scores": grid, "brightest": tf.reduce_max(grid, axis=[1, 2, 3])}

    spec = tf.TensorSpec([None, 64, 64, 3], tf.uint8, "images")
    function = tf.function(scores, input_signature=[spec], autograph=False)
    folder = tmp_path_factory.mktemp("strided")
    for name, part in _convert(function, spec).items():
        onnx.save(part, folder / name)
    return folder, network


def test_pictures_are_small_where_they_are_to_tensorflow(
    engine: Engine, strided: tuple[Path, keras.Model]
) -> None:
    folder, _ = strided
    import onnx

    assert sorted(path.name for path in folder.iterdir()) == [ONNX_FILE, ENCODER_FILE, STEM_FILE]
    first = onnx.load(folder / STEM_FILE).graph.node[0]
    assert (first.op_type, list(first.input)) == ("Transpose", ["images"])
    stem, encoder = OnnxGraph(folder, engine)._looks
    small = stem(np.zeros((2, 64, 64, 3), np.uint8))
    assert small.shape == (2, 8, 16, 16)
    assert encoder(small).size == 2 * 8 * 8 * 24


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_stages_compute_the_network_in_either_precision(
    engine: Engine,
    strided: tuple[Path, keras.Model],
    bfloat16: bool,
    threads: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if bfloat16 and engine.name == ONNXRUNTIME:
        pytest.skip("ONNX Runtime has no bfloat16")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", threads)
    folder, network = strided
    pictures = np.random.default_rng(1).integers(0, 256, (9, 64, 64, 3), np.uint8)
    exact, rough = OnnxGraph(folder, engine), OnnxGraph(folder, Engine(engine.name, bfloat16))
    (grid,), expected = (
        rough.run([SCORES], pictures),
        network(pictures.astype("float32") / 127.5 - 1),
    )
    assert grid.shape == expected.shape
    far = np.linalg.norm(grid - expected) / np.linalg.norm(expected)
    assert far < (0.1 if bfloat16 else 1e-4)
    # The stem is never rounded, and the rest is, where the CPU rounds at all.
    np.testing.assert_array_equal(rough._looks[0](pictures), exact._looks[0](pictures))
    if bfloat16 and wants_bfloat16(AUTO, read_cpu_info()):
        assert (grid != exact.run([SCORES], pictures)[0]).any()


def test_tensors_that_a_network_holds_are_no_inputs(engine: Engine, tmp_path: Path) -> None:
    import onnx

    from model.onnx_export import _convert

    # What a `Normalization` holds is no variable: EfficientNet begins with one.
    network = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0]),
            keras.layers.Conv2D(2, 3, 4),
        ]
    )
    spec = tf.TensorSpec([None, 16, 16, 3], tf.uint8, "images")
    function = tf.function(
        lambda images: {"scores": network(tf.cast(images, tf.float32))}, input_signature=[spec]
    )
    for name, part in _convert(function, spec).items():
        onnx.save(part, tmp_path / name)
    pictures = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3), np.uint8)
    (found,) = OnnxGraph(tmp_path, engine).run([SCORES], pictures)
    np.testing.assert_allclose(found, network(pictures.astype("float32")), rtol=1e-4, atol=1e-3)


def test_what_cannot_be_converted_is_not_exported(
    engines: list[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model.onnx_export import write_onnx

    def with_an_unknown_operation(self: CaptionGraph, images: tf.Tensor) -> dict[str, tf.Tensor]:
        told = spell(self, images)
        return {**told, "scores": tf.math.lgamma(told["scores"])}

    spell = CaptionGraph.spell_pixels
    monkeypatch.setattr(CaptionGraph, "spell_pixels", with_an_unknown_operation)
    with pytest.raises(CaptionerError, match=r"cannot compute this model: .*Lgamma"):
        write_onnx(tiny_graph("gru", SAMPLERS["greedy"]), tmp_path, engines[0].name)


@pytest.mark.parametrize(("name", "far"), [(SCORES, np.nan), (TAG_SCORES, 0.5)])
def test_what_scores_otherwise_is_not_exported(
    engines: list[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, far: float
) -> None:
    from model import onnx_export

    graph = tiny_graph("gru", SAMPLERS["greedy"])

    class Drifting:
        """Computes what TensorFlow does, but for one score."""

        def __init__(self, *_: object) -> None:
            pass

        def run(self, names: Sequence[str], images: np.ndarray) -> list[np.ndarray]:
            told = {one: told.numpy() for one, told in graph.spell_pixels(images).items()}
            return [told[one] + far if one == name else told[one] for one in names]

    monkeypatch.setattr(onnx_export, "_convert", lambda *_: {})
    monkeypatch.setattr(onnx_export, "OnnxGraph", Drifting)
    with pytest.raises(CaptionerError, match=rf"{name} of 3 .* TensorFlow's by up to {far:.3g}"):
        onnx_export.write_onnx(graph, tmp_path, engines[0].name)


def test_a_wrong_number_of_threads_is_not_the_models_fault(
    engines: list[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model.onnx_export import write_onnx

    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "all")
    with pytest.raises(CaptionerError, match=r"^TF_NUM_INTRAOP_THREADS: got 'all', expected"):
        write_onnx(tiny_graph("gru", SAMPLERS["greedy"]), tmp_path, engines[0].name)
