"""tekken.py: ranks joined as tiktoken joins them."""

import base64
import json
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ArtifactError
from groundup.tokenizer import load_tokenizer
from groundup.tokenizer.bpe import PATTERNS
from groundup.tokenizer.imported.tekken import _tokenizer_from_tekken
from tests.tokenizer.imported.fixtures import lines, small

SPECIALS = 5


def ranks() -> dict[bytes, int]:
    """The bytes, and words of the small byte-level tokenizer by rank."""
    words = [small("pairs").spelling.bytes_of[id] for id in range(258, 340)]
    return {token: rank for rank, token in enumerate([*map(bytes, zip(range(256))), *words])}


def value() -> dict:
    """A tekken.json's."""
    rows = [
        {"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": None}
        for token, rank in ranks().items()
    ]
    config = {"pattern": PATTERNS["gpt-2"], "default_num_special_tokens": SPECIALS}
    return {"config": config | {"default_vocab_size": len(rows) + SPECIALS}, "vocab": rows}


PEER = tiktoken.Encoding(
    "peer", pat_str=PATTERNS["gpt-2"], mergeable_ranks=ranks(), special_tokens={}
)
OURS = _tokenizer_from_tekken(value())


@given(st.text(max_size=40) | st.sampled_from(lines()))
def test_ids_are_tiktokens_after_the_special_ones(text):
    text = text.encode("utf-8", "replace").decode()
    assert OURS.encode(text) == [id + SPECIALS for id in PEER.encode_ordinary(text)]


def test_special_tokens_have_the_first_ids():
    assert list(OURS.specials.values()) == list(range(SPECIALS))
    assert OURS.frame.before == (1,) and OURS.role_ids == {"unk": 0, "bos": 1, "eos": 2}
    named = _tokenizer_from_tekken(
        value() | {"special_tokens": [{"rank": 4, "token_str": "<new>"}]}
    )
    assert named.specials["<new>"] == 4


def test_opened_from_its_file(tmp_path: Path):
    (tmp_path / "tekken.json").write_text(json.dumps(value()))
    assert load_tokenizer(tmp_path).digest == OURS.digest
    for broken in ({}, value() | {"vocab": [{"rank": 0, "token_bytes": "!"}]}, {"config": 3}):
        (tmp_path / "tekken.json").write_text(json.dumps(broken))
        with pytest.raises(ArtifactError, match="no tekken.json"):
            load_tokenizer(tmp_path)
