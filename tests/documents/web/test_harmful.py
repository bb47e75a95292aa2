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


@pytest.mark.parametrize(
    "text, hits",
    [
        ("порно секс бесплатно голые девушки", 3),
        ("色情 成人视频 裸体", 2),
        ("这里有成人视频和色情小说可以看", 2),
        ("感情色彩、角色情绪和心情色调都很丰富，国内射击队集中出发", 0),
        ("Больную осмотрел врач: молочная железа, половые органы.", 0),
    ],
)  # fmt: skip
def test_russian_and_chinese_have_lists_too(text, hits):
    metadata = Harmful(HarmfulConfig())(record(text)).metadata
    assert (metadata.get("harmful_adult", 0) > 0) == (hits > 0)
    step = Harmful(HarmfulConfig(most={"adult": 1.0}, fewest_hits=max(1, hits)))
    assert bool(step(record(text)).reason) == (hits > 0)
    assert not Harmful(HarmfulConfig(most={"adult": 1.0}, fewest_hits=hits + 1))(
        record(text)
    ).reason


def test_density_of_a_text_without_spaces_counts_two_characters_a_word():
    metadata = Harmful(HarmfulConfig())(record("成人视频" + "河流很长山很绿" * 100)).metadata
    assert metadata["harmful_adult"] == pytest.approx(1000 / (1 + 704 // 2), abs=0.01)


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
