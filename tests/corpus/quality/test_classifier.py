"""Features are stable, scores are probabilities, and the step drops by policy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.core import ArtifactError, ConfigError
from groundup.corpus.quality.classifier import (
    ClassifierConfig,
    ClassifierStep,
    FeaturesConfig,
    TextClassifier,
    decision_values,
    extract_features,
)
from groundup.documents import Record

SMALL = FeaturesConfig(bits=10)


def classifier(seed: int = 0) -> TextClassifier:
    weights = np.random.default_rng(seed).normal(size=2**10).astype(np.float32)
    return TextClassifier(SMALL, weights, 0.1, 2.0, -0.3)


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


@pytest.mark.parametrize("hostile", ["a" * 5_000_000, "<" * 10**6, "\0\ud800" * 10**5])
def test_hostile_text_has_a_score(hostile):
    assert 0 <= classifier().predict_texts([hostile])[0] <= 1
