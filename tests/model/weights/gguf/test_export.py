"""Files that llama.cpp opened: the same bytes are written again, and it computes what we do."""

import hashlib
import json

import numpy as np
import pytest
import torch

from groundup.core import (
    Artifact,
    ArtifactError,
    Config,
    ConfigError,
    DataError,
    Message,
    produce,
)
from groundup.kernels import QuantizedLinear
from groundup.model import FeedForwardConfig, ImportConfig, Transformer, import_model, load, save
from groundup.model.families.decoder_keys import with_fields
from groundup.model.weights.gguf.export import (
    FILE_TYPES,
    _tokenizer_metadata,
    export_gguf,
    save_gguf,
)
from groundup.model.weights.gguf.format import open_gguf
from groundup.model.weights.gguf.reading import load_gguf
from groundup.tokenizer import (
    CHATML_TEMPLATE,
    PATTERNS,
    FastTokenizer,
    load_tokenizer,
    render,
    save_imported,
    save_tokenizer,
    tokenizer_of_gguf,
)
from tests.model.weights.gguf.models import (
    ENCODERS,
    MERGES,
    MODELS,
    PEER,
    SEQ2SEQ,
    SEQ2SEQ_PEER,
    START,
    STORED,
    TOKENIZERS,
    artifact_of,
    decoder,
    exact_model,
    greedy_margins,
    largest_difference,
    same_ids,
    seq2seq_difference,
    seq2seq_margins,
    seq2seq_model,
    write_all,
    write_seq2seq,
)
from tests.tokenizer.imported.fixtures import lines, small

FOUND, SEQ2SEQ_FOUND = json.loads(PEER.read_text()), json.loads(SEQ2SEQ_PEER.read_text())
STORED_AS = [f"stored_{type.lower()}" for type in FILE_TYPES]
TEXTS = [f"texts_{name}" for name in TOKENIZERS]
EXACT = 3e-5
TABLE = 5e-3
"""llama.cpp looks GELU up in a table of halves, and its GELU is the tanh approximation."""
LOOSER = {
    # scores and logits of two layers of latent attention reach hundreds
    "deepseek2": 3e-4, "deepseek2_lite": 6e-4, "deepseek3": 3e-4, "minicpm3": 3e-4,
    # llama.cpp rounds what meets weights of 16 bits or less; measured 0.0044, 0.025, 0.081, 0.099
    "stored_f16": 1e-2, "stored_bf16": 5e-2, "stored_q8_0": 0.15, "stored_q4_0": 0.2,
} | {
    name: TABLE for name, each in MODELS.items() if each.feedforward.activation.startswith("gelu")
}  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    place = tmp_path_factory.mktemp("written")
    write_all(place)
    return place


def test_every_file_was_opened_by_the_peer():
    assert set(FOUND) == {*MODELS, *STORED_AS, *TEXTS}


@pytest.mark.parametrize("name", [*MODELS, *STORED_AS, *TEXTS])
def test_the_peer_opened_these_very_bytes(written, name):
    content = (written / f"{name}.gguf").read_bytes()
    assert hashlib.sha256(content).hexdigest() == FOUND[name]["sha256"]


@pytest.mark.parametrize("name", [*MODELS, *STORED_AS])
def test_the_peer_computes_what_the_file_gives_here(written, name):
    model = load_gguf(written / f"{name}.gguf")
    assert largest_difference(model, FOUND[name]) < LOOSER.get(name, EXACT)


@pytest.mark.parametrize("name", MODELS)
def test_the_peer_continues_twenty_prompts_alike_by_margin(written, name):
    margins = greedy_margins(load_gguf(written / f"{name}.gguf"), FOUND[name])
    assert margins.shape == (20, 12)
    assert margins.max() <= 2 * LOOSER.get(name, EXACT)


@pytest.mark.parametrize("name", MODELS)
def test_a_file_gives_back_the_model(written, name):
    model, again = exact_model(MODELS[name]), load_gguf(written / f"{name}.gguf")
    assert again.config == model.config
    assert not again.training
    for key, weight in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], weight, rtol=0, atol=1e-7)


@torch.no_grad()
@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoders_file_computes_what_it_did(name, tmp_path):
    model, ids = exact_model(ENCODERS[name]), torch.arange(30)[None]
    found = save_gguf(model, tmp_path / "a.gguf", "F32")
    assert found.architecture == ("modern-bert" if name == "modern-bert" else "bert")
    assert torch.equal(load_gguf(found.path)(ids), model(ids))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    place = tmp_path_factory.mktemp("written") / "seq2seq"
    write_seq2seq(place)
    return place


@pytest.mark.parametrize("name", SEQ2SEQ)
def test_the_peer_computes_what_an_encoder_decoders_file_gives_here(pairs, name):
    found, path = SEQ2SEQ_FOUND[name], pairs / f"{name}.gguf"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == found["sha256"]
    assert found["start"] == START and len(found["pairs"]) == 4
    model, again = seq2seq_model(name), load_gguf(path)
    assert again.config == model.config
    state = again.state_dict()
    assert all(torch.equal(state[key], weight) for key, weight in model.state_dict().items())
    # measured 2.4e-5 where gates are beyond the table, and 0.0055 in it
    apart = seq2seq_difference(again, found)
    assert apart < (1e-2 if name == "t5_gated" else 5e-5)
    assert (seq2seq_margins(again, found) <= 2 * max(apart, 1e-5)).all()


def test_an_encoder_decoder_goes_out_and_comes_back_with_tokenizer_and_start(tmp_path):
    tokenizer = small("t5")
    save_imported(tokenizer, tmp_path / "tokenizer")
    told = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0, "decoder_start_token_id": 3}
    (tmp_path / "tokenizer" / "generation_config.json").write_text(json.dumps(told))
    config = with_fields(SEQ2SEQ["t5"], {"vocab_size": tokenizer.vocab_size})

    def write(draft):
        save(exact_model(config), draft.path, tmp_path / "tokenizer")

    artifact = produce(
        tmp_path / "model", kind="model", stage="oracle", version=1, config=Config(), parents={},
        write=write,
    )  # fmt: skip
    export_gguf(artifact, tmp_path / "a.gguf", "F32")
    assert open_gguf(tmp_path / "a.gguf").metadata["t5.decoder_start_token_id"] == 3
    again = import_model(ImportConfig(), tmp_path / "a.gguf", tmp_path / "again")
    assert json.loads((again.path / "generation_config.json").read_text()) == told
    for text in lines():
        assert load_tokenizer(again.path).encode(text) == tokenizer.encode(text)
    model, state = exact_model(config), load(again.path).state_dict()
    assert all(torch.equal(state[key], each) for key, each in model.state_dict().items())


@pytest.mark.parametrize("name", STORED_AS)
def test_the_peers_ids_of_texts_are_our_tokenizers(written, name):
    tokenizer = load_tokenizer(written / "stored")
    for text, ids in FOUND[name]["ids"].items():
        assert tokenizer.encode(text) == ids
    said = render(tokenizer, (Message("user", "Why?"),), add_generation_prompt=True)
    assert FOUND[name]["chat"] == said.text


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_peers_ids_of_texts_are_those_of_sentencepiece(name):
    same, all = same_ids(name, FOUND[f"texts_{name}"])
    assert same == all == 46


def test_rounding_follows_the_rule(written):
    types = {
        name: {key: one.type.name for key, one in open_gguf(written / name).tensors.items()}
        for name in ("stored_q4_0.gguf", "stored_q8_0.gguf", "mixtral.gguf", "gpt2.gguf")
    }
    four, eight = types["stored_q4_0.gguf"], types["stored_q8_0.gguf"]
    assert {four["blk.0.attn_q.weight"], four["token_embd.weight"]} == {"Q4_0"}
    assert {four["output.weight"], *eight.values()} - {"F32"} == {"Q8_0"}
    assert {four["blk.1.attn_norm.weight"], eight["blk.0.attn_q_norm.weight"]} == {"F32"}


def test_rows_that_are_no_whole_blocks_are_halves(tmp_path):
    model = exact_model(MODELS["mixtral"])
    found = save_gguf(model, tmp_path / "a.gguf", "Q8_0")
    types = {key: one.type.name for key, one in open_gguf(found.path).tensors.items()}
    assert types["blk.0.ffn_down_exps.weight"] == "F16"  # 24 numbers a row
    assert types["blk.0.ffn_gate_inp.weight"] == "F32"
    assert load_gguf(found.path).config == model.config


def test_the_verb_says_what_it_wrote(tmp_path):
    artifact, path = artifact_of(tmp_path), tmp_path / "deep" / "a.gguf"
    found = export_gguf(artifact, path, "Q4_0")
    assert (found.architecture, found.tensors, found.bytes) == ("qwen3", 25, path.stat().st_size)
    assert str(found).startswith(f"{path}  qwen3, Q4_0, 25 tensors, 31.6 kB")
    before = path.read_bytes()
    export_gguf(artifact, path, "Q4_0")
    assert path.read_bytes() == before
    with pytest.raises(ConfigError, match="is a folder; name a file in it"):
        export_gguf(artifact, tmp_path / "deep", "F16")


def test_no_file_has_a_name_of_which_llama_cpp_makes_a_tokenizer(tmp_path):
    made = artifact_of(tmp_path)
    made.path.rename(tmp_path / "My-Phi-3.5")
    export_gguf(Artifact.open(tmp_path / "My-Phi-3.5"), tmp_path / "a.gguf", "F32")
    assert open_gguf(tmp_path / "a.gguf").metadata["general.name"] == "My-phi 3.5"


def test_the_licence_of_an_imported_model_travels(tmp_path):
    source, base, path = tmp_path / "a.gguf", tmp_path / "base", tmp_path / "b.gguf"
    export_gguf(artifact_of(tmp_path), source, "F32")
    for name, expected in (("", None), ("Apache-2.0", "Apache-2.0")):
        imported = import_model(ImportConfig(licence=name), source, base / (name or "none"))
        export_gguf(imported, path, "F32")
        assert open_gguf(path).metadata.get("general.license") == expected
    for name in open_gguf(source).tensors:
        assert (open_gguf(source).blocks(name) == open_gguf(path).blocks(name)).all()


def test_a_model_that_the_peer_lacks_is_refused(tmp_path):
    relu = decoder(feedforward=FeedForwardConfig(width=24, activation="relu"))
    with pytest.raises(
        ConfigError, match="No architecture of llama.cpp can hold this groundup model: .*relu"
    ):
        save_gguf(Transformer(relu), tmp_path / "a.gguf", "F32")
    assert not list(tmp_path.iterdir())


def test_weights_of_eight_bits_are_refused(tmp_path):
    model = exact_model(decoder())
    linear = model.layers[0].attention.q_proj
    model.set_submodule(
        "layers.0.attention.q_proj", QuantizedLinear(linear.in_features, linear.out_features)
    )
    with pytest.raises(ConfigError, match="has int8 weights; export the model that it was"):
        save_gguf(model, tmp_path / "a.gguf", "F32")


def test_weights_that_do_not_fit_a_type_are_named(tmp_path):
    model = exact_model(decoder())
    with torch.no_grad():
        model.layers[1].attention.v_proj.weight[0, 0] = 1e6
    with pytest.raises(
        DataError, match="blk.1.attn_v.weight: A value of magnitude 1e.06 does not fit"
    ):
        save_gguf(model, tmp_path / "a.gguf", "F16")
    assert save_gguf(model, tmp_path / "a.gguf", "BF16").type == "BF16"


LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Llama 3's tokenizer.json cuts text."""


@pytest.fixture
def model(tmp_path):
    save_tokenizer(FastTokenizer(MERGES), tmp_path / "tokenizer")
    save(exact_model(STORED), tmp_path / "model", tmp_path / "tokenizer", chat=True)
    return tmp_path / "model"


def test_every_id_has_its_token_and_kind(model):
    told, tokenizer = _tokenizer_metadata(model, STORED.vocab_size), FastTokenizer(MERGES)
    tokens, kinds = (told[f"tokenizer.ggml.{key}"] for key in ("tokens", "token_type"))
    assert len(tokens) == len(kinds) == STORED.vocab_size
    assert tokens[256:259] == ["Ġt", "he", "Ġthe"]
    for name, id in tokenizer.specials.items():
        assert (tokens[id], kinds[id]) == (name, 3)
    assert tokens[262:] == ["[PAD262]", "[PAD263]", "[PAD264]"] and set(kinds[262:]) == {5}
    assert told["tokenizer.ggml.merges"] == ["Ġ t", "h e", "Ġt he"]
    assert told["tokenizer.ggml.eos_token_id"] == tokenizer.specials["<|im_end|>"]
    assert "tokenizer.ggml.bos_token_id" not in told


def test_a_base_model_ends_at_the_end_of_a_document(model, tmp_path):
    save(exact_model(STORED), tmp_path / "base", tmp_path / "tokenizer")
    told = _tokenizer_metadata(tmp_path / "base", STORED.vocab_size)
    ends = FastTokenizer(MERGES).specials["<|endoftext|>"]
    assert told["tokenizer.ggml.eos_token_id"] == told["tokenizer.ggml.padding_token_id"] == ends


def test_a_model_with_fewer_rows_than_ids_is_refused(model):
    with pytest.raises(ConfigError, match="has 262 ids and its model 261; they do not belong"):
        _tokenizer_metadata(model, 261)


def test_a_model_without_a_tokenizer_is_refused(tmp_path):
    save(exact_model(STORED), tmp_path / "bare")
    with pytest.raises(ArtifactError, match="tokenizer"):
        _tokenizer_metadata(tmp_path / "bare", STORED.vocab_size)


def changed(model, change):
    """The model with its tokenizer.json changed."""
    path = model / "tokenizer.json"
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))
    return model


def test_a_tokenizer_of_others_is_written_if_it_cuts_as_the_peer_does(model):
    ours = _tokenizer_metadata(model, STORED.vocab_size)
    splits = {"qwen2": PATTERNS["qwen2"], "llama-bpe": LLAMA}
    for name, expression in splits.items():

        def change(told, expression=expression):
            told["normalizer"] = {"type": "NFC"}
            told["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": expression}

        theirs = _tokenizer_metadata(changed(model, change), STORED.vocab_size)
        assert theirs.pop("tokenizer.ggml.pre") == name
        for key, value in theirs.items():
            np.testing.assert_array_equal(value, ours[key])


def test_the_peers_reading_gives_the_ids_back(model):
    told = _tokenizer_metadata(model, STORED.vocab_size)
    again, tokenizer = tokenizer_of_gguf(told), FastTokenizer(MERGES)
    for text in ("see the cat", "  two  spaces\n\nand 1234 naïve 😀", "don't <|im_end|>"):
        assert again.encode(text) == tokenizer.encode(text)
    assert again.settings["chat_template"] == CHATML_TEMPLATE


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda told: told["pre_tokenizer"]["pretokenizers"].pop(1),
         "model cannot be written for llama.cpp: the tokenizer has the step {'type': 'Split'"),
        (lambda told: told["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex="[a-z]+"),
         r"splits text by \['\[a-z\]\+'\]; expected the pre-tokenizer of gpt-2, starcoder"),
    ],
)  # fmt: skip
def test_a_tokenizer_that_the_peer_cannot_replay_is_refused(model, change, said):
    with pytest.raises(ConfigError, match=said):
        _tokenizer_metadata(changed(model, change), STORED.vocab_size)
