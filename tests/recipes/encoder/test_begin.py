"""Each id that occurs has a vector of its own name, the same twice, and like ids are near."""

import numpy as np
import pytest

from groundup.core import produce
from groundup.embeddings import Word2VecConfig, load_vectors
from groundup.recipes.encoder.begin import BeginConfig, _shuffled, make_vectors
from groundup.tokenizer import DocumentText, FastTokenizer, Shard, TokensConfig, write_tokens

CONFIG = BeginConfig(
    word2vec=Word2VecConfig(model="skip_gram", width=16, epochs=4, sample=0, learning_rate=0.2)
)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """Texts in which a and b stand beside x, c and d beside y."""
    chance = np.random.default_rng(0)
    texts = []
    for number in range(60):
        pair, mate = ("ab", "x") if number % 2 else ("cd", "y")
        texts.append(
            DocumentText(str(number), "".join(chance.choice(list(pair)) + mate for _ in range(9)))
        )
    out = tmp_path_factory.mktemp("begin") / "tokens"
    return produce(
        out, kind="tokens", stage="t", version=1, config=TokensConfig(), parents={},
        write=lambda draft: write_tokens(draft, FastTokenizer([]), {"train": texts}),
    )  # fmt: skip


def test_vectors_are_named_by_ids_and_the_same_twice(tokens, tmp_path):
    made = [make_vectors(CONFIG, tokens, tmp_path / name) for name in "ab"]
    first, second = (load_vectors(each.path) for each in made)
    assert {int(word) for word in first.words} == set(Shard.open(tokens, "train").ids.tolist())
    assert first.words == second.words and (first.matrix == second.matrix).all()
    a, b, c = (str(FastTokenizer([]).encode(letter)[0]) for letter in "abc")
    assert first.similarity(a, b) > first.similarity(a, c)


def test_texts_are_whole_in_another_order(tokens):
    shard = Shard.open(tokens, "train")
    text = _shuffled(shard, 1)
    rows = np.split(text.ids, text.ends[:-1])
    own = [shard.document_ids(n) for n in range(len(shard.ends))]
    assert sorted(map(bytes, rows)) == sorted(bytes(row.astype(rows[0].dtype)) for row in own)
    assert not np.array_equal(text.ids, shard.ids)
