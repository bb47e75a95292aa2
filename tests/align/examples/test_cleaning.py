"""What is not to be trained on is left out, each with its reason, and splits share no question."""

import json

import pytest

from groundup.align import ImportExamplesConfig, balance, import_examples, read_examples
from groundup.align.examples.cleaning import Cleaner, CleaningConfig, question_groups, refuses
from groundup.align.examples.layouts import KeptRow, KeptRows
from groundup.core import ConfigError, DataError, Message, Sample
from groundup.measure import TestSetCard, make_testset

ASKED = "How is the heating of the old observatory restarted after a power failure in winter?"
ANSWER = "Turn the brass wheel twice, wait until the pressure is above four bar, then press start."


def talk(question, answer="It is so."):
    return Message("user", question), Message("assistant", answer)


@pytest.fixture
def testset(tmp_path):
    samples = [Sample("1", (Message("user", ASKED),), (ANSWER,)),
               Sample("2", (Message("user", "What is tea?"),), ("Leaves",))]  # fmt: skip
    return make_testset(TestSetCard(name="t"), samples, {}, tmp_path / "testset")


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (talk("what is TEA"), "It asks a question of a test set"),
        (talk(ASKED.replace("in winter", "in summer")), "It nearly asks a question of a test set"),
        (talk("Say it.", f"Well: {ANSWER}"), "It copies a text of a test set"),
        (talk("Hm?", "As an AI language model, I cannot say."), "It speaks as an AI model"),
        (talk("Hm?", "I'm sorry, but I can't help with that."), "It refuses as assistants"),
        (talk("Hm?", "x" * 400), "It is too long"),
        (talk("Wie wird die Heizung nach dem Stromausfall neu gestartet?",
              "Man dreht das Rad zweimal und wartet auf den Druck."), "Its language is de"),
    ],
)  # fmt: skip
def test_each_reason_is_told(testset, messages, reason):
    with pytest.raises(ConfigError, match="languages.*klingon"):
        CleaningConfig(languages=("klingon",))
    config = CleaningConfig(max_characters=400, languages=("en",))
    cleaner = Cleaner(config, [testset.path])
    with pytest.raises(DataError, match=reason):
        cleaner.check(messages, [messages[1].content])


def test_what_is_fit_or_too_short_to_tell_is_kept(testset):
    cleaner = Cleaner(CleaningConfig(languages=("en",)), [testset.path])
    cleaner.check(talk("Is coffee hot?", "Sorry, no: it is cold."), ["Sorry, no: it is cold."])
    cleaner.check(talk("2+2?", "4"), ["4"])
    cleaner = Cleaner(CleaningConfig(keep_boilerplate=True), [testset.path])
    cleaner.check(talk("Hm?", "As an AI model, I cannot."), ["As an AI model, I cannot."])


def test_refusals_are_recognised_in_our_words_and_others():
    said = ["I do not know that name: …", "I cannot help with that.", "Sorry, but I cannot.",
            "As an AI assistant, I am not able."]  # fmt: skip
    assert all(map(refuses, said))
    assert not any(map(refuses, ["I'm sorry to hear that.", "You cannot help it.", "Sorry."]))


def rows(*texts):
    kept = [KeptRow((question, answer), "f", f"f line {n}", "{}")
            for n, (question, answer) in enumerate(texts, 1)]  # fmt: skip
    return KeptRows(kept, [])


def test_near_questions_are_one_group_and_near_answers_too_are_left_out():
    words = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron"
    found = rows(
        (words, "one two three"), (f"{words} pi", "one, two, three!"), ("other", "b"),
        (f"{words} pi rho", "four five six"), (f"{words} pi rho", "one two three"),
    )  # fmt: skip
    leaders = question_groups(found, lambda row: row, 0.8)
    assert [row.place for row in found.kept] == ["f line 1", "f line 3", "f line 4"]
    assert leaders == [found.kept[0].row, found.kept[1].row, found.kept[0].row]
    assert [row["place"] for row in found.rejected] == ["f line 2", "f line 5"]
    same = rows((words, "one"), (f"{words} pi", "one"), (words.upper(), "one"))
    assert question_groups(same, lambda row: row, 0.0) == [(words, "one"), (f"{words} pi", "one"),
                                                           (words, "one")]  # fmt: skip


def test_the_balance_counts_what_was_imported(tmp_path):
    lines = [{"instruction": f"Say {n} in a word, please.", "output": f"word {n}", "source": "a"}
             for n in range(30)]  # fmt: skip
    lines += [{"messages": [{"role": "system", "content": "Be brief."},
                            {"role": "user", "content": f"Name {n}?"},
                            {"role": "assistant", "content": f"I cannot help with that, {n}."}]}
              for n in range(30)]  # fmt: skip
    path = tmp_path / "c.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    config = ImportExamplesConfig(keep_boilerplate=True)
    made = import_examples(config, [path], tmp_path / "e")
    splits = balance(made.path).splits
    assert [*splits] == ["train", "validation", "test"]
    total = {key: sum(each[key] for each in splits.values()) for key in ("rows", "refusals")}
    assert total == {"rows": 60, "refusals": 30}
    train = splits["train"]
    assert train["kinds"].keys() == {"instruction", "dialogue"}
    assert train["sources"].keys() == {"a", "c.jsonl"} and train["turns"] == {"1": train["rows"]}
    assert train["question_words"]["most"] == 6 and train["answer_words"]["least"] == 2
    assert sum(train["languages"].values()) == train["rows"]
    assert train["refusals"] == sum(row.refusal for row in read_examples(made, "train"))
