"""Words are those of a regular expression, scores are probabilities, the step drops by policy."""

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.core import ArtifactError, ConfigError
from groundup.corpus.quality.classifier import (
    UNSPACED_SCRIPTS,
    ClassifierConfig,
    ClassifierStep,
    FeaturesConfig,
    TextClassifier,
    _hash_words,
    decision_values,
    extract_features,
)
from groundup.documents import Record

SMALL = FeaturesConfig(bits=10)


def classifier(seed: int = 0) -> TextClassifier:
    weights = np.random.default_rng(seed).normal(size=2**10).astype(np.float32)
    return TextClassifier(SMALL, weights, 0.1, 2.0, -0.3)


UNSPACED_CLASS = "".join(f"{chr(a)}-{chr(b)}" for a, b in UNSPACED_SCRIPTS)
PLAIN = regex.compile(
    rf"[[\p{{L}}\p{{N}}\p{{M}}_]&&[\u0000-\uffff]--[[{UNSPACED_CLASS}]--\p{{Nd}}]]+|[^\s\p{{Cc}}\p{{Cf}}\p{{Cs}}]",
    regex.V1,
)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(max_codepoint=0x5000, categories=("L", "Nd", "P", "Zs", "S", "M"))))
def test_words_are_those_of_the_pattern(text):
    plain = [regex.sub(r"\p{Nd}", "0", word) for word in PLAIN.findall(text.lower())]
    found = _hash_words(text).tolist()
    assert [found.index(one) for one in found] == [plain.index(one) for one in plain]


def test_case_and_digits_are_folded_and_order_is_kept():
    found = _hash_words("Year 2024: THE year 1999").tolist()
    assert found[0] == found[4] and found[1] == found[5] and len(set(found)) == 4
    assert _hash_words("ab")[0] != _hash_words("ba")[0] and len(_hash_words("中文")) == 2


@pytest.mark.parametrize("text", ["", " \n\t", "\0\0", "\ud800", "\u200b"])
def test_what_has_no_words(text):
    assert len(_hash_words(text)) == 0


def test_words_have_hashes_of_their_own():
    text = " ".join(f"{chr(97 + a)}{chr(97 + b)}{chr(97 + c)}" for a in range(26)
                    for b in range(26) for c in range(26))  # fmt: skip
    assert len(set(_hash_words(text).tolist())) == 26**3


def test_runs_of_characters_are_equal_where_the_characters_are():
    def runs(text: str, order: int) -> list[int]:
        config = FeaturesConfig(bits=26, word_orders=(), character_orders=(order,))
        return extract_features([text], config).columns.tolist()

    assert len(runs("abcab", 2)) == 3 and runs("ab", 3) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(), max_size=5))
def test_rows_have_length_one_and_scores_do_not_depend_on_neighbours(texts):
    rows = extract_features(texts, SMALL)
    assert len(rows.row_sizes) == len(texts) and rows.row_sizes.sum() == len(rows.columns)
    together = classifier().predict_texts(texts)
    for at, text in enumerate(texts):
        alone = extract_features([text], SMALL)
        assert len(alone.values) == 0 or np.linalg.norm(alone.values) == pytest.approx(1, abs=1e-5)
        assert classifier().predict_texts([text])[0] == pytest.approx(together[at], abs=1e-6)
    assert ((together >= 0) & (together <= 1)).all()


def test_margins_are_dot_products():
    rows = extract_features(["one two three two", "", "four"], SMALL)
    weights = np.arange(2**10, dtype=np.float32)
    wanted, at = [], 0
    for size in rows.row_sizes:
        some = slice(at, at + size)
        wanted.append(float((rows.values[some] * weights[rows.columns[some]]).sum()) + 0.5)
        at += size
    np.testing.assert_allclose(decision_values(rows, weights, 0.5), wanted, rtol=1e-5)


def test_orders_choose_the_features():
    words = FeaturesConfig(bits=20, word_orders=(1,), character_orders=())
    pairs = FeaturesConfig(bits=20, word_orders=(2,), character_orders=())
    letters = FeaturesConfig(bits=20, word_orders=(), character_orders=(3, 4))
    text = "ab cd ab"
    assert [extract_features([text], one).row_sizes[0] for one in (words, pairs, letters)] == [
        2,
        2,
        11,
    ]


def test_a_classifier_survives_its_folder_and_a_damaged_one_is_refused(tmp_path):
    classifier().save(tmp_path, {"auc": 1.0})
    again = TextClassifier.load(tmp_path)
    np.testing.assert_array_equal(
        again.predict_texts(["some text"]), classifier().predict_texts(["some text"])
    )
    facts = (tmp_path / "classifier.json").read_text()
    (tmp_path / "classifier.json").write_text(facts.replace('"bits": 10', '"bits": 11'))
    with pytest.raises(ArtifactError, match="not a classifier"):
        TextClassifier.load(tmp_path)
    with pytest.raises(ArtifactError, match="not a classifier"):
        TextClassifier.load(tmp_path / "nothing")


def test_the_step_scores_and_drops_by_policy(tmp_path):
    classifier().save(tmp_path)
    record = Record("1", "s", "p", "text", "some text")
    score = ClassifierStep(ClassifierConfig(model=tmp_path))(record).metadata["quality"]
    low = ClassifierStep(ClassifierConfig(model=tmp_path, min_score=score + 0.01))(record)
    assert (low.reason, low.value) == ("classifier: quality low", score)
    high = ClassifierStep(ClassifierConfig(model=tmp_path, name="toxic", max_score=score - 0.01))(
        record
    )
    assert high.reason == "classifier: toxic high"
    with pytest.raises(ConfigError, match="not the model"):
        ClassifierStep(ClassifierConfig(model=tmp_path, sha256="00"))


def test_five_megabytes_on_a_line():
    assert len(_hash_words("a" * 5_000_000)) == 1
    assert len(_hash_words("<" * 1_000_000)) == 1_000_000


@pytest.mark.parametrize("hostile", ["a" * 5_000_000, "<" * 10**6, "\0\ud800" * 10**5])
def test_hostile_text_has_a_score(hostile):
    assert 0 <= classifier().predict_texts([hostile])[0] <= 1
