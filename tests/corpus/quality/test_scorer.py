"""Any scorer by its name; what it cannot score stays, with the reason."""

import pytest

from groundup.core import Answer, ConfigError, Reason, Sample, Score
from groundup.corpus.quality.scorer import ScorerConfig, ScorerStep
from groundup.documents import Record

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
     {"scorer": f"{HERE}:NUMBER"}, {"scorer": f"{HERE}:Length"},
     {"scorer": f"{HERE}:Length", "settings": '{"wrong": 1}'},
     {"scorer": f"{HERE}:Length", "settings": "{"}],
)  # fmt: skip
def test_a_name_that_is_no_scorer_is_refused(config):
    with pytest.raises(ConfigError, match="scorer="):
        ScorerStep(ScorerConfig(**config))
