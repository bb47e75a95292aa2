"""gguf.py: the four kinds of metadata give the ids of the tokenizer that they were made from."""

import random
from pathlib import Path

import numpy as np
import pytest

from groundup.core import DataError
from groundup.tokenizer import ImportedTokenizer, tokenizer_of_gguf
from groundup.tokenizer.imported.gguf import PATTERN_ALIASES, SPLIT_PATTERNS
from groundup.tokenizer.imported.sentencepiece import _parse_model
from tests.tokenizer.imported.fixtures import LARGE, ids_of, large, lines, model_bytes, small


def scored(name: str, **more: object) -> dict[str, object]:
    """Metadata of a SentencePiece model, as converters write it."""
    model = _parse_model(model_bytes(name))
    values = {
        "model": "t5" if model.kind == "unigram" else "llama",
        "tokens": [piece.text.replace("\u2581", " ") if piece.kind == 4 else piece.text
                   for piece in model.pieces],
        "scores": np.array([piece.score for piece in model.pieces], np.float32),
        "token_type": np.array([piece.kind for piece in model.pieces], np.int32),
        "add_space_prefix": model.adds_prefix_space,
        "remove_extra_whitespaces": model.collapses_spaces,
        "precompiled_charsmap": np.frombuffer(model.charsmap, np.int8),
    }  # fmt: skip
    ids = {f"{role}_token_id": getattr(model, role) for role in ("bos", "eos")}
    known = values | {key: id for key, id in ids.items() if id >= 0} | more
    return {f"tokenizer.ggml.{key}": value for key, value in known.items()}


@pytest.mark.parametrize("name", ["llama", "gemma", "mixed", "t5", "tied", "unused"])
def test_pieces_have_the_ids_of_sentencepiece(name):
    tokenizer = tokenizer_of_gguf(scored(name))
    assert tokenizer.encode_batch(lines()) == ids_of(name)
    assert tokenizer.frame == ImportedTokenizer(
        tokenizer.content, tokenizer.settings
    ).frame and bool(tokenizer.frame.before) == (name != "t5")


def paired() -> dict[str, object]:
    """Metadata of the small byte-level tokenizer."""
    content = small("pairs").content
    names, kinds = small("pairs").names, {0: 3, 1: 3, 340: 4}
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": [names[id] for id in range(341)],
        "tokenizer.ggml.token_type": [kinds.get(id, 1) for id in range(341)],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in content["model"]["merges"]],
        "tokenizer.ggml.bos_token_id": np.uint32(0),
        "tokenizer.ggml.eos_token_id": np.uint32(1),
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": "{{ bos_token }}",
    }


def test_pairs_have_the_ids_of_their_tokenizer_json():
    tokenizer = tokenizer_of_gguf(paired())
    assert tokenizer.encode_batch(lines()) == ids_of("pairs")
    assert tokenizer.frame == small("pairs").frame and tokenizer.loss_reason is None
    assert tokenizer.specials == small("pairs").specials
    assert tokenizer.settings["chat_template"] == "{{ bos_token }}"


def test_words_have_the_ids_of_their_vocabulary():
    names = small("words").tokens
    tokens = [names[id] for id in range(len(names))]
    special = {token: token in small("words").specials for token in tokens}
    marked = [
        token if special[token] else token[2:] if token[:2] == "##" else "\u2581" + token
        for token in tokens
    ]
    metadata = {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": marked,
        "tokenizer.ggml.token_type": [3 if special[token] else 1 for token in tokens],
        "tokenizer.ggml.cls_token_id": tokens.index("[CLS]"),
        "tokenizer.ggml.seperator_token_id": tokens.index("[SEP]"),
        "tokenizer.ggml.unknown_token_id": tokens.index("[UNK]"),
    }
    tokenizer = tokenizer_of_gguf(metadata)
    assert tokenizer.encode_batch(lines()) == ids_of("words")
    assert tokenizer.frame == small("words").frame


def test_cuts_are_those_of_the_makers():
    for name, folder in (("llama-bpe", "llama3_1"), ("qwen2", "qwen3"), ("deepseek-v3",) * 2):
        steps = large(folder.replace("-", "_")).content["pre_tokenizer"]["pretokenizers"]
        theirs = [step["pattern"]["Regex"] for step in steps if step["type"] == "Split"]
        assert theirs == [
            cut.replace(r"[\r\n]+", "[\r\n]+") if name == "deepseek-v3" else cut
            for cut in SPLIT_PATTERNS[name]
        ]


def test_names_lead_to_cuts():
    assert set(PATTERN_ALIASES.values()) <= set(SPLIT_PATTERNS)


def gemma() -> ImportedTokenizer:
    """Gemma 3's from its GGUF; the test is skipped where it is not."""
    from groundup.model.weights.gguf.format import open_gguf

    if not (LARGE / "gemma-3-270m.gguf").exists():
        pytest.skip("GROUNDUP_TOKENIZERS has no gemma-3-270m.gguf")
    return tokenizer_of_gguf(open_gguf(LARGE / "gemma-3-270m.gguf").metadata)


def test_gemma_has_its_makers_ids_on_ten_thousand_lines(root: Path):
    theirs, ours = large("gemma3"), gemma()
    sources = sorted((root / "groundup").rglob("*.py")) + sorted((root / "docs").rglob("*.md"))
    real = [line for path in sources for line in path.read_text("utf-8").split("\n")]
    made = random.Random(0).choices(lines(), k=2000)
    some = [line for line in [*real, *made] if "\u2581" not in line][:10_000]
    assert len(some) == 10_000
    ids = ours.encode_batch(some)
    assert ids == theirs.encode_batch(some)
    assert list(map(ours.decode, ids)) == some


def broken(**values: object) -> dict[str, object]:
    """The byte-level metadata with other values."""
    return paired() | {f"tokenizer.ggml.{key}": value for key, value in values.items()}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "tokenizer.ggml.model is None; expected one of llama, t5, gpt2, bert"),
        (broken(model="rwkv"), "'rwkv'; expected one of"),
        (broken(pre="new-cut"), "'new-cut', and how it cuts text is not known; known are"),
        (broken(tokens=[]), "damaged .*no tokenizer.ggml.tokens"),
        (broken(token_type=[1]), "damaged"),
        (broken(merges=None), "damaged"),
        (broken(merges=["x y"]), "No tokenizer"),
        (broken(bos_token_id=999), "damaged"),
        (broken(tokens=[b"\xff"] * 341), "damaged"),
        (broken(tokens=["a"] * 341), "damaged .*two tokens have one text"),
    ],
)
def test_damaged_metadata_is_an_error(metadata, message):
    with pytest.raises(DataError, match=message):
        tokenizer_of_gguf(metadata)
