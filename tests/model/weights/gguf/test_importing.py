"""GGUF files imported: the model, its tokenizer, the ends of its texts, its licence."""

import json

import numpy as np
import pytest
import torch

from groundup.core import ArtifactError, DataError
from groundup.model import ImportConfig, import_model, load
from groundup.model.weights.gguf.export import save_gguf
from groundup.model.weights.gguf.format import Value, open_gguf
from groundup.model.weights.gguf.importing import _special_token_ids, load_unpacked
from groundup.model.weights.gguf.reading import load_gguf
from groundup.model.weights.gguf.vocabulary import tokenizer_metadata
from groundup.tokenizer import load_tokenizer, tokenizer_of_gguf
from tests.model.weights.gguf.models import MODELS, artifact_of, decoder, exact_model

AS_IS = ImportConfig()


@pytest.mark.parametrize("name", MODELS)
def test_an_imported_file_is_the_file_in_a_peers_words(name, tmp_path):
    save_gguf(exact_model(MODELS[name]), tmp_path / "m.gguf", "Q8_0", {"general.license": "mit"})
    made = import_model(AS_IS, tmp_path / "m.gguf", tmp_path / "base")
    again, whole = load(made.path), load_gguf(tmp_path / "m.gguf")
    assert again.config == whole.config and again.head.dtype == torch.float32
    ids = torch.arange(12)[None]
    if whole.config.position.kind == "rope":
        assert made.numbers["model_type"] != "groundup"
    with torch.no_grad():
        assert torch.equal(again(ids), whole(ids))
    assert made.numbers["licence"] == "mit"
    said = json.loads((made.path / "source.json").read_text())
    assert list(said["files"]) == ["m.gguf"]


def test_our_own_model_comes_back_with_its_tokenizer_and_template(tmp_path):
    model = artifact_of(tmp_path)
    opened = load(model.path)
    told = tokenizer_metadata(model.path, opened.config.vocab_size)
    save_gguf(opened, tmp_path / "m.gguf", "F32", told)
    config = ImportConfig(dtype="bfloat16", licence="apache-2.0")
    made = import_model(config, tmp_path / "m.gguf", tmp_path / "base")
    before, after = load_tokenizer(model.path), load_tokenizer(made.path)
    for text in ("the hat", "  the\n\nthe <|endoftext|>", "größer 的"):
        assert after.encode(text) == before.encode(text)
    assert after.specials == before.specials
    name = "chat_template.jinja"
    assert (made.path / name).read_bytes() == (model.path / name).read_bytes()
    assert made.numbers["licence"] == "apache-2.0"
    assert load(made.path).head.dtype == torch.bfloat16


def test_ends_of_texts_are_read_by_their_roles(tmp_path):
    ends = {"bos": 2, "eos": 1, "eot": 7, "padding": 0}
    metadata: dict[str, Value] = {f"tokenizer.ggml.{n}_token_id": id for n, id in ends.items()}
    save_gguf(exact_model(decoder()), tmp_path / "m.gguf", "F32", metadata)
    found = {"bos_token_id": 2, "eos_token_id": [1, 7], "pad_token_id": 0}
    assert _special_token_ids(open_gguf(tmp_path / "m.gguf")) == found
    made = import_model(AS_IS, tmp_path / "m.gguf", tmp_path / "base")
    for name in ("config.json", "generation_config.json"):
        assert found.items() <= json.loads((made.path / name).read_text()).items()
    assert not (made.path / "tokenizer.json").exists()


def test_a_file_names_itself_or_is_named_by_its_file(tmp_path):
    model = exact_model(decoder())
    save_gguf(model, tmp_path / "m.gguf", "F32", {"general.name": "Small 1B"})
    assert load_unpacked(open_gguf(tmp_path / "m.gguf"), torch.float32).name == "Small 1B"
    assert import_model(AS_IS, tmp_path / "m.gguf", tmp_path / "a").numbers["source"] == "Small 1B"
    save_gguf(model, tmp_path / "plain.gguf", "F32")
    made = import_model(AS_IS, tmp_path / "plain.gguf", tmp_path / "b")
    assert (made.numbers["source"], made.numbers["licence"]) == ("plain", "unknown")


def test_a_tokenizer_that_cannot_be_had_is_an_error_and_leaves_no_artifact(tmp_path):
    metadata: dict[str, Value] = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "nobody's",
                "tokenizer.ggml.tokens": ["a", "b"], "tokenizer.ggml.merges": ["a b"],
                "tokenizer.ggml.token_type": np.array([1, 1], np.int32)}  # fmt: skip
    save_gguf(exact_model(decoder()), tmp_path / "m.gguf", "F32", metadata)
    with pytest.raises(DataError, match="m.gguf: .*nobody's"):
        import_model(AS_IS, tmp_path / "m.gguf", tmp_path / "base")
    assert not (tmp_path / "base" / "manifest.json").exists()


def test_scores_are_kept_where_merges_cannot_say_them(tmp_path):
    # of two pieces with one score the left is joined first, whatever the order of merges
    pieces = ["<unk>", "</s>", "a", "b", "ba", "ab"]
    metadata: dict[str, Value] = {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.scores": np.array([0, 0, -9, -9, -1, -1], np.float32),
        "tokenizer.ggml.token_type": np.array([2, 3, 1, 1, 1, 1], np.int32),
        "tokenizer.ggml.add_space_prefix": False,
    }  # fmt: skip
    save_gguf(exact_model(decoder()), tmp_path / "m.gguf", "F32", metadata)
    made = import_model(AS_IS, tmp_path / "m.gguf", tmp_path / "base")
    before, after = tokenizer_of_gguf(metadata), load_tokenizer(made.path)
    for text in ("aba", "bab", "abba", "baab" * 9):
        assert after.encode(text) == before.encode(text)
    assert after.encode("aba") == [5, 2] and (made.path / "pieces.json").is_file()


def test_a_file_cut_short_is_an_error_and_leaves_nothing(tmp_path):
    save_gguf(exact_model(decoder()), tmp_path / "m.gguf", "F32")
    content = (tmp_path / "m.gguf").read_bytes()
    (tmp_path / "m.gguf").write_bytes(content[:-100])
    with pytest.raises(ArtifactError, match="m.gguf"):
        import_model(AS_IS, tmp_path / "m.gguf", tmp_path / "base")
    assert not (tmp_path / "base").exists()
