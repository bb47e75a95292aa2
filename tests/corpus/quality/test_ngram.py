"""The model's probabilities are those of the formula written down with dictionaries."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.core import ArtifactError, DataError
from groundup.corpus.quality.counting import NgramConfig, train_ngrams
from groundup.corpus.quality.hashing import words
from groundup.corpus.quality.ngram import END, NgramModel

TEXTS = [
    "the cat sat on the mat and the dog sat on the log",
    "the dog ran to the cat and the cat ran to the mat",
    "a cat is a cat and a dog is a dog",
    "on the log the dog sat and on the mat the cat sat",
    "the cat the cat the cat ran",
]


class Reference:
    """Modified Kneser–Ney by the book, on tuples of words."""

    def __init__(self, texts: list[str], order: int, prune: tuple[int, ...]) -> None:
        self.order = order
        raw: list[Counter] = [Counter() for _ in range(order + 1)]
        for text in texts:
            run = ["<s>", *text.split(), "</s>"]
            for k in range(1, order + 1):
                raw[k].update(tuple(run[i : i + k]) for i in range(len(run) - k + 1))
        self.terms: dict[tuple, float] = {}
        self.backoffs: dict[tuple, float] = {}
        for k in range(1, order + 1):
            adjusted = dict(raw[k])
            if k < order:
                left = defaultdict(set)
                for longer in raw[k + 1]:
                    left[longer[1:]].add(longer[0])
                adjusted = {g: n if g[0] == "<s>" else len(left[g]) for g, n in raw[k].items()}
            adjusted.pop(("<s>",), None)
            self.smooth(adjusted, raw[k], prune[min(k, len(prune)) - 1])
        self.vocabulary = sum(len(g) == 1 for g in raw[1]) - 1 + 1

    def smooth(self, adjusted: dict[tuple, int], seen: Counter, prune: int) -> None:
        n = Counter(min(a, 5) for a in adjusted.values())
        discounts = [0.0, 0.5, 1.0, 1.5]
        if all(n[k] for k in (1, 2, 3, 4)):
            y = n[1] / (n[1] + 2 * n[2])
            discounts = [0.0] + [
                min(max(k - (k + 1) * y * n[k + 1] / n[k], 0), k) for k in (1, 2, 3)
            ]
        totals: Counter = Counter()
        for g, a in adjusted.items():
            totals[g[:-1]] += a
        self.backoffs |= dict.fromkeys(totals, 1.0)
        for g, a in adjusted.items():
            if seen[g] > prune:
                self.terms[g] = (a - discounts[min(a, 3)]) / totals[g[:-1]]
                self.backoffs[g[:-1]] -= self.terms[g]

    def probability(self, context: tuple, word: str) -> float:
        p = 1 / self.vocabulary
        for k in range(self.order):
            c = context[len(context) - k :]
            if k > len(context):
                break
            p = self.terms.get((*c, word), 0.0) + self.backoffs.get(c, 1.0) * p
        return p


@pytest.mark.parametrize(
    ("order", "prune"), [(1, (0,)), (2, (0,)), (3, (0, 0, 0)), (5, (0, 0, 1, 1, 1))]
)
def test_probabilities_are_those_of_the_formula(order, prune):
    model = train_ngrams(TEXTS, NgramConfig(order=order, prune=prune))
    reference = Reference(TEXTS, order, prune)
    assert model.vocabulary == reference.vocabulary
    for text in [*TEXTS, "the dog is a log", "cat", "zebra sat on the zebra", "and and and"]:
        run = ["<s>", *text.split(), "</s>"]
        wanted = [reference.probability(tuple(run[:i]), run[i]) for i in range(1, len(run))]
        found = model.probabilities(words(text).hashes)
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


KENLM = json.loads(
    (Path(__file__).parents[2] / "fixtures/ngrams/kenlm.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("case", KENLM["cases"], ids=lambda case: str(case["prune"]))
def test_probabilities_are_those_of_kenlm_but_where_its_own_do_not_sum_to_one(case):
    model = train_ngrams(KENLM["train"], NgramConfig(order=case["order"], prune=case["prune"]))
    ours = [np.log10(model.probabilities(words(line).hashes)) for line in KENLM["asked"]]
    apart = np.abs(np.concatenate(ours) - np.concatenate(case["log10"]))
    assert np.mean(apart < 0.01) > 0.95
    assert np.median(apart) < 0.001


def test_probabilities_of_all_words_sum_to_one_whatever_is_pruned():
    model = train_ngrams(TEXTS, NgramConfig(order=4, prune=(0, 1, 1, 2)))
    known = {h for text in TEXTS for h in words(text).hashes.tolist()}
    for context in ("", "the", "the cat", "on the", "dog sat on the", "zebra the"):
        before = words(context).hashes
        sums = model.probabilities(before)[-1]  # the end
        for word in [*known, 12345]:  # 12345 stands for the unknown word
            sums += model.probabilities(np.append(before, np.uint64(word)))[len(before)]
        assert sums == pytest.approx(1.0, abs=1e-5)


def test_chunks_do_not_change_the_model():
    whole = train_ngrams(TEXTS * 300)
    parts = train_ngrams(TEXTS * 300, NgramConfig(chunk_words=1000))
    for a, b in zip(whole.orders, parts.orders, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    assert whole.forgotten == parts.forgotten == 0


def test_memory_is_bounded_and_what_is_forgotten_is_told():
    rng = np.random.default_rng(0)
    texts = (" ".join(f"w{''.join(map(chr, 97 + rng.integers(0, 26, 3)))}" for _ in range(200))
             for _ in range(50))  # fmt: skip
    model = train_ngrams(texts, NgramConfig(order=3, max_ngrams=2000, chunk_words=1000))
    assert model.forgotten > 0
    assert all(len(order.keys) <= 2000 for order in model.orders)
    assert np.isfinite(model.measure("wabc wdef wghi").bits_per_character)


def test_sense_is_less_surprising_than_nonsense():
    model = train_ngrams(TEXTS * 3)
    sense, salad = model.measure("the cat sat on the log"), model.measure("log the on sat cat the")
    letters = model.measure("xqz vvk jjw pqp")
    assert sense.bits_per_character < salad.bits_per_character < letters.bits_per_character


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1))
def test_any_text_has_finite_bits_or_no_words(text):
    model = train_ngrams(TEXTS, NgramConfig(order=2))
    try:
        assert 0 < model.measure(text).bits_per_character < np.inf
    except DataError:
        assert not len(words(text).hashes)


def test_a_model_survives_its_folder_and_a_damaged_one_is_refused(tmp_path):
    model = train_ngrams(TEXTS)
    model.save(tmp_path / "model")
    again = NgramModel.load(tmp_path / "model")
    assert again.measure(TEXTS[0]) == model.measure(TEXTS[0])
    (tmp_path / "model" / "ngrams.safetensors").write_bytes(b"short")
    with pytest.raises(ArtifactError, match="not an n-gram model"):
        NgramModel.load(tmp_path / "model")
    with pytest.raises(ArtifactError, match="not an n-gram model"):
        NgramModel.load(tmp_path / "nothing")


def test_texts_without_words_are_refused():
    for texts in ([], ["", "  \n"]):
        with pytest.raises(DataError, match="no words"):
            train_ngrams(texts)


def test_the_end_is_a_word():
    model = train_ngrams(["a b"] * 3, NgramConfig(order=2, prune=(0,)))
    assert END in model.orders[0].keys
    assert model.probabilities(words("a b").hashes)[-1] > model.probabilities(words("a").hashes)[-1]
