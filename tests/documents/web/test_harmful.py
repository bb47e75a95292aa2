"""Harm: densities are told, a policy cuts, a classifier is any Scorer."""

from pathlib import Path

import pytest

from groundup.core import Answer, ConfigError, Reason, Sample, Score
from groundup.documents import PASS, Record
from groundup.documents.web.harmful import Harmful, HarmfulConfig

BAD = "free porn and sex cams with xxx milf " * 5
MEDICINE = (
    "The study of breast cancer and of sexual health asks for plain words about the body. " * 5
)


def record(text: str) -> Record:
    return Record("1", "s", "p", "html", text)


class Judge:
    """A scorer as another room would make it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, sample: Sample, answer: Answer) -> Score | Reason:
        if not answer.text.strip(" x"):
            return Reason("empty_answer", "nothing to judge")
        return Score(0.9 if "xxx" in answer.text else 0.1, f"judge {self.path}")


def test_densities_are_told_and_medicine_is_none():
    assert Harmful(HarmfulConfig())(record(BAD)).metadata["harmful_adult"] > 100
    assert Harmful(HarmfulConfig())(record(MEDICINE)) == PASS


def test_only_a_policy_cuts():
    step = Harmful(HarmfulConfig(most={"adult": 10.0}))
    ruling = step(record(BAD))
    assert (ruling.reason, ruling.value > 10) == ("harmful: adult", True)
    assert not step(record("one xxx word")).reason, "too few hits"


def test_a_list_of_your_own(tmp_path):
    path = tmp_path / "list"
    path.write_text("tea\tkettle\ntea\tEarl  Grey\n")
    step = Harmful(HarmfulConfig(lexicon=str(path), own_list=False))
    assert step(record("A kettle of EARL GREY and porn")).metadata == {"harmful_tea": 285.714}
    path.write_text("no tab here\n")
    with pytest.raises(ConfigError, match="has no tab"):
        Harmful(HarmfulConfig(lexicon=str(path)))
    with pytest.raises(ConfigError, match="cannot be read"):
        Harmful(HarmfulConfig(lexicon="/nowhere"))


def test_a_classifier_votes_beside_it():
    made = f"{__name__}:Judge"
    step = Harmful(HarmfulConfig(scorer=made, artifact="a", most_score=0.5))
    assert step(record(BAD)).reason == "harmful: classifier"
    assert step(record(MEDICINE)).metadata == {"harmful_score": 0.1}
    assert step(record("x x")) == PASS
    with pytest.raises(ConfigError, match="is not there"):
        Harmful(HarmfulConfig(scorer="nowhere:x"))(record("word"))


@pytest.mark.parametrize("text", ["", "\0", "\ud800", "a" * 1_000_000, "kill " * 50_000])
def test_hostile_texts(text):
    assert not Harmful(HarmfulConfig())(record(text)).reason
