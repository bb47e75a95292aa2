"""Good answers become records with their parent; none is asked for twice."""

import pytest

from groundup.core import ConfigError, DataError, Generation
from groundup.corpus.mixture.rewrite import RewriteConfig, _rewrite_records
from tests.corpus.dedup.shards import record, words


class Parrot:
    """A language model that answers by a function of the text it is given."""

    def __init__(self, answer, fail_after=10**9):
        self.answer, self.asked, self.fail_after = answer, [], fail_after

    def generate(self, conversations, sampling):
        if len(self.asked) >= self.fail_after:
            raise KeyboardInterrupt
        self.asked += conversations
        made = []
        for conversation in conversations:
            prompt, _, text = conversation[-1].content.partition("\n\n")
            answer = self.answer(prompt, text)
            made.append(Generation(answer, (), (), "length" if answer == "…" else "stop"))
        return made

    def logprobs(self, conversations, answers):
        return []

    def embed(self, texts):
        return None


RECORDS = [record(f"{n}", words(n, 20)) for n in range(20)]


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    config, out = RewriteConfig(model="parrot", batch=3), tmp_path / "answers.jsonl"
    first = Parrot(lambda prompt, text: text.upper(), fail_after=9)
    with pytest.raises(KeyboardInterrupt):
        list(_rewrite_records(first, RECORDS, config, out))
    with open(out, "a") as file:
        file.write('{"id": "cut sho')
    second = Parrot(lambda prompt, text: text.upper())
    made = list(_rewrite_records(second, RECORDS, config, out))
    assert len(first.asked) + len(second.asked) == 20
    assert [one.text for one in made] == [one.text.upper() for one in RECORDS]
    assert made[3].metadata == {
        "model": "parrot",
        "synthetic": "paraphrase",
        "parent": RECORDS[3].id,
    }
    third = Parrot(lambda prompt, text: "")
    assert list(_rewrite_records(third, RECORDS, config, out)) == made and not third.asked
    with pytest.raises(ConfigError, match="other settings"):
        list(_rewrite_records(third, RECORDS, RewriteConfig(model="other"), out))
    out.write_text("no json\n")
    with pytest.raises(DataError, match="not a file of answers"):
        list(_rewrite_records(third, RECORDS, config, out))


@pytest.mark.parametrize(
    "answer",
    [lambda text: "", lambda text: text, lambda text: "…", lambda text: text * 3, lambda text: "x"],
)
def test_bad_answers_become_no_records(tmp_path, answer):
    model = Parrot(lambda prompt, text: answer(text))
    made = list(_rewrite_records(model, RECORDS, RewriteConfig(model="m"), tmp_path / "a.jsonl"))
    assert made == [] and len(model.asked) == 20


def test_back_translation_goes_there_and_back(tmp_path):
    def answer(prompt: str, text: str) -> str:
        return (
            text.replace("word", "wort")
            if "into German" in prompt
            else text.replace("wort", "term")
        )

    config = RewriteConfig(model="m", method="back_translation")
    (made,) = _rewrite_records(Parrot(answer), [RECORDS[0]], config, tmp_path / "a.jsonl")
    assert made.text == RECORDS[0].text.replace("word", "term")
    assert made.metadata["synthetic"] == "back_translation"


def test_long_and_synthetic_records_are_passed_over(tmp_path):
    model = Parrot(lambda prompt, text: text.upper())
    config = RewriteConfig(model="m", max_characters=50)
    synthetic = record("s", "few words here")
    synthetic.metadata["synthetic"] = "noise"
    rows = [*RECORDS[:3], synthetic, record("e", " ")]
    assert (
        list(_rewrite_records(model, rows, config, tmp_path / "a.jsonl")) == [] and not model.asked
    )
