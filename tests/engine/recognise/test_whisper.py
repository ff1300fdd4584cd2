"""Whisper in the recogniser's place: what is refused at the start, and the real library on random weights.

The weights are made here, a thousandth of the smallest model's: they show that the
library takes what it is given, and say nothing about what a trained model would read.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.__main__ import Unusable, check_whisper
from engine.errors import ApiError
from engine.facts.facts import Utterance
from engine.facts.languages import LANGUAGES, language_name
from engine.facts.samples import Samples
from engine.recognise import whisper
from engine.recognise.speech import Ears
from engine.senses import Senses, knows_languages, missing_listener
from tests.engine.conftest import Spawn, shared_clip
from tests.engine.recognise.test_listener import sound_of

SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>",
           "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]  # fmt: skip
WIDTH, MELS, HEARD, TOLD = 16, 80, 1500, 448


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.__main__.missing_listener", lambda: None)


@pytest.mark.usefixtures("installed")
def test_a_path_that_is_no_model_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="not a directory"):
        check_whisper(tmp_path / "nowhere")
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(Unusable, match=r"lacks config\.json, tokenizer\.json, vocabulary\.json"):
        check_whisper(tmp_path)


def test_without_the_package_a_model_is_refused_by_the_packages_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.__main__.missing_listener", lambda: "faster_whisper")
    with pytest.raises(Unusable, match="needs the package faster_whisper, which is not installed"):
        check_whisper(tmp_path)


def test_the_engine_does_not_start_with_a_path_that_is_no_model(tmp_path: Path, spawn: Spawn) -> None:
    engine = spawn("--socket", f"{tmp_path}/s", "--data-dir", f"{tmp_path}/d", "--whisper", f"{tmp_path}/nowhere")
    assert engine.returncode == 2
    assert "engine: --whisper" in engine.said  # type: ignore[attr-defined]


def test_no_model_is_no_error() -> None:
    check_whisper(None)


def test_records_by_another_recogniser_are_others(tmp_path: Path) -> None:
    if missing := missing_listener():
        pytest.skip(f"the package {missing} is not installed")
    (tmp_path / "model.bin").write_bytes(b"1")
    one = Senses(1, tmp_path).name()
    assert Senses(1).name() == Senses(4).name() != one == Senses(4, tmp_path).name()
    (tmp_path / "model.bin").write_bytes(b"12")
    assert Senses(1, tmp_path).name() != one


class FakeModel:
    """Reads one word out of everything, and takes it for French."""

    def __init__(self, many: bool) -> None:
        self.model = SimpleNamespace(is_multilingual=many)
        self.asked: dict[str, Any] = {}

    def transcribe(self, audio: Any, **options: Any) -> Any:
        self.asked = {**options, "audio": audio}
        word = SimpleNamespace(word=" hello", start=0.5, end=np.float32(0.75), probability=1.0000001)
        blank = SimpleNamespace(word=" ", start=0.8, end=0.9, probability=0.5)
        segments = [SimpleNamespace(words=[word, blank]), SimpleNamespace(words=None)]
        return iter(segments), SimpleNamespace(language="fr")


def test_words_are_taken_with_their_times_and_confidence() -> None:
    model = FakeModel(many=False)
    assert whisper.read_with(model, np.array([16384, -32768], dtype=np.int16)).words == [("hello", 0.5, 0.75, 1.0)]
    assert model.asked["audio"].tolist() == [0.5, -1.0]
    assert model.asked["word_timestamps"]


def test_a_model_that_knows_english_alone_is_asked_for_it_and_finds_out_no_language() -> None:
    model = FakeModel(many=False)
    assert whisper.read_with(model, noise(1.0)).language == ""
    assert model.asked["language"] == "en"


def test_a_model_of_many_languages_finds_out_which_is_spoken_and_translates_nothing() -> None:
    model = FakeModel(many=True)
    assert whisper.read_with(model, noise(1.0)).language == "fr"
    assert (model.asked["language"], model.asked["task"]) == (None, "transcribe")


@pytest.mark.parametrize("name", ["vocabulary.json", "vocabulary.txt"])
@pytest.mark.parametrize(("size", "many"), [(51_864, False), (51_865, True)])
def test_a_vocabulary_tells_whether_a_model_knows_more_than_english(
    tmp_path: Path, name: str, size: int, many: bool
) -> None:
    tokens = [str(token) for token in range(size)]
    text = json.dumps(tokens) if name.endswith("json") else "".join(f"{token}\n" for token in tokens)
    (tmp_path / name).write_text(text)
    assert knows_languages(tmp_path) == many


def test_every_language_that_the_library_knows_has_a_name() -> None:
    codes = pytest.importorskip("faster_whisper.tokenizer")._LANGUAGE_CODES
    assert set(codes) == set(LANGUAGES)
    assert language_name("fr") == "French"
    assert language_name("tlh") == "tlh"


def make_model(directory: Path) -> None:
    """Write a tiny English Whisper model of random weights, with its tokenizer."""
    from ctranslate2.specs import WhisperSpec
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *SPECIAL, *(f"<|{step / 50:.2f}|>" for step in range(1501))]
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(tokens[len(alphabet) :])
    tokenizer.save(str(directory / "tokenizer.json"))

    spec = WhisperSpec(1, 2, 1, 2)
    spec.register_vocabulary(tokens)
    spec.config.alignment_heads = [(0, 0)]
    spec.config.suppress_ids, spec.config.suppress_ids_begin, spec.config.lang_ids = [], [], []
    _fill(spec, len(tokens))
    spec.validate()
    spec.optimize()
    spec.save(str(directory))


def _fill(spec: Any, tokens: int) -> None:
    """Give every weight a random value of its shape."""
    random = np.random.default_rng(6)

    def weights(*shape: int) -> Any:
        return random.normal(0, 0.5, shape).astype(np.float32)

    def linear(layer: Any, outputs: int, inputs: int) -> None:
        layer.weight, layer.bias = weights(outputs, inputs), weights(outputs)

    def norm(layer: Any) -> None:
        layer.gamma, layer.beta = np.ones(WIDTH, dtype=np.float32), np.zeros(WIDTH, dtype=np.float32)

    def block(layer: Any) -> None:
        norm(layer.self_attention.layer_norm)
        linear(layer.self_attention.linear[0], 3 * WIDTH, WIDTH)
        linear(layer.self_attention.linear[1], WIDTH, WIDTH)
        norm(layer.ffn.layer_norm)
        linear(layer.ffn.linear_0, 2 * WIDTH, WIDTH)
        linear(layer.ffn.linear_1, WIDTH, 2 * WIDTH)

    spec.encoder.conv1.weight, spec.encoder.conv1.bias = weights(WIDTH, MELS, 3), weights(WIDTH)
    spec.encoder.conv2.weight, spec.encoder.conv2.bias = weights(WIDTH, WIDTH, 3), weights(WIDTH)
    spec.encoder.position_encodings.encodings = weights(HEARD, WIDTH)
    norm(spec.encoder.layer_norm)
    block(spec.encoder.layer[0])
    spec.decoder.embeddings.weight = weights(tokens, WIDTH)
    spec.decoder.position_encodings.encodings = weights(TOLD, WIDTH)
    norm(spec.decoder.layer_norm)
    spec.decoder.projection.weight = spec.decoder.embeddings.weight
    layer = spec.decoder.layer[0]
    block(layer)
    norm(layer.attention.layer_norm)
    linear(layer.attention.linear[0], WIDTH, WIDTH)
    linear(layer.attention.linear[1], 2 * WIDTH, WIDTH)
    linear(layer.attention.linear[2], WIDTH, WIDTH)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if missing := missing_listener():
        pytest.skip(f"the package {missing} is not installed")
    directory = tmp_path_factory.mktemp("whisper")
    make_model(directory)
    return directory


def noise(seconds: float) -> Samples:
    return np.random.default_rng(1).normal(0, 3000, int(16_000 * seconds)).astype(np.int16)


def test_a_model_of_random_weights_is_loaded_and_asked(model: Path) -> None:
    check_whisper(model)
    read = whisper.reader_of(model, 1)
    reading = read(noise(2.0))
    assert reading.language == ""
    for word, start, end, sure in reading.words:
        assert word.strip() == word
        assert 0 <= start <= end <= 30
        assert 0 <= sure <= 1


def test_a_listener_reads_with_the_model_it_is_given(model: Path) -> None:
    ears = Ears(Senses(1, model).arguments())
    try:
        ears.begin(0.0)
        ears.hear(sound_of(shared_clip("jfk.flac")))
        ears.finish()
        facts = []
        while not ears.done:
            facts += ears.read(wait=True)
    finally:
        ears.close()
    assert any(fact.words for fact in facts if isinstance(fact, Utterance))


def test_a_model_that_cannot_be_loaded_ends_the_job_with_a_reason(tmp_path: Path) -> None:
    if missing := missing_listener():
        pytest.skip(f"the package {missing} is not installed")
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
        (tmp_path / name).write_text(json.dumps({}))
    assert whisper.lack_of(tmp_path) == ""
    ears = Ears(Senses(1, tmp_path).arguments())
    try:
        with pytest.raises(ApiError, match="speech recogniser ended unexpectedly"):
            ears.read(wait=True)
    finally:
        ears.close()
