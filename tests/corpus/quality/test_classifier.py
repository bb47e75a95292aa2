"""Words are those of a regular expression, scores are probabilities, the step drops by policy."""

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.core import Answer, ArtifactError, ConfigError, Reason, Sample, Score
from groundup.corpus.quality.classifier import (
    UNSPACED_SCRIPTS,
    ClassifierConfig,
    ClassifierStep,
    FeaturesConfig,
    ScorerConfig,
    ScorerStep,
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


HERE = __name__


class Length:
    """Scores by length; nothing for empty texts."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, sample: Sample, answer: Answer) -> Score | Reason:
        if not answer.text:
            return Reason("empty_answer", "nothing to score")
        return Score(len(answer.text) * self.scale, f"length×{self.scale}")


plain = Length()
NUMBER = 3


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, HERE, sys.modules[Length.__module__])


def rule(text: str, config: ScorerConfig):
    return ScorerStep(config)(Record("1", "s", "p", "text", text))


class Listed:
    """Scores by whether a file lists the text."""

    def __init__(self, path: str) -> None:
        with open(path, encoding="utf-8") as file:
            self.known = set(file.read().splitlines())

    def __call__(self, sample: Sample, answer: Answer) -> Score | Reason:
        return Score(float(answer.text in self.known), "listed")


def test_files_that_it_reads_take_their_places(tmp_path):
    path = tmp_path / 'a "list".txt'
    path.write_text("one\ntwo\n", encoding="utf-8")
    config = ScorerConfig(scorer=f"{HERE}:Listed", reads=(path,), settings='{"path": "{0}"}')
    assert rule("two", config).metadata["score"] == 1.0
    assert rule("three", config).metadata["score"] == 0.0


def test_it_scores_and_drops_by_policy():
    assert rule("four", ScorerConfig(scorer=f"{HERE}:plain")).metadata == {
        "score": 4.0, "score_signature": "length×1.0",
    }  # fmt: skip
    made = ScorerConfig(
        scorer=f"{HERE}:Length", settings='{"scale": 0.5}', min_score=3, name="size"
    )
    dropped = rule("four", made)
    assert (dropped.reason, dropped.value) == ("scorer: size low", 2.0)
    assert (
        rule("four", ScorerConfig(scorer=f"{HERE}:plain", max_score=3)).reason
        == "scorer: score high"
    )
    assert rule("", made).metadata == {"size_missing": "empty_answer"}


@pytest.mark.parametrize(
    "config",
    [{"scorer": "nothing"}, {"scorer": "no.such.module:x"}, {"scorer": f"{HERE}:absent"},
     {"scorer": f"{HERE}:NUMBER"}, {"scorer": f"{HERE}:Listed"},
     {"scorer": f"{HERE}:Length", "settings": '{"wrong": 1}'},
     {"scorer": f"{HERE}:Length", "settings": "{"}],
)  # fmt: skip
def test_a_name_that_is_no_scorer_is_refused(config):
    with pytest.raises(ConfigError, match="scorer="):
        ScorerStep(ScorerConfig(**config))
