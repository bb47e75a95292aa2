"""A model's answer, its critique and its revision; the revised answer is chosen, by no person."""

from collections import Counter
from string import ascii_letters

import pytest

from groundup.align import ReviseConfig, VotesConfig, apply_votes, revise_answers
from groundup.align.feedback.comparisons import read_comparisons
from groundup.align.feedback.judge import read_principles
from groundup.align.preferences import read_preferences
from groundup.core import Sampling
from groundup.generate import Engine
from groundup.measure import read_votes
from tests.align.feedback.conftest import address, write_rows

CONFIG = ReviseConfig(max_tokens=8)
LINES = [
    {"prompt": "What is 2+2?", "completion": "5"}, {"prompt": "Name a colour.", "other": 1},
    {"prompt": "Why?", "completion": " "}, {"completion": "x"}, [1],
]  # fmt: skip


def test_the_model_criticises_by_a_principle_and_revises(tmp_path, judge_model):
    file = write_rows(tmp_path / "rows.jsonl", LINES)
    (tmp_path / "p.txt").write_text("Be short.")
    made = revise_answers(
        CONFIG, [file], tmp_path / "made", model=str(judge_model.path),
        principles=tmp_path / "p.txt",
    )  # fmt: skip
    first, second = read_comparisons(made)
    assert first.answers[0] == "5" and first.origins == ("original", "revised")
    engine, sampling = Engine.open(judge_model.path), Sampling(max_tokens=8)
    assert second.answers[0] == engine.generate([second.prompt], sampling)[0].text
    votes = read_votes(made.path)
    assert [(vote.who, vote.value) for vote in votes] == [("simulated:revision judge", "b")] * 2
    assert all(vote.reason for vote in votes)
    assert made.numbers["rejected"] == {
        "Its completion is empty.": 1, "Its prompt is neither a text nor a list of messages.": 1,
        "It is no object.": 1,
    }  # fmt: skip
    applied = apply_votes(VotesConfig(validation_share=0.5), made, tmp_path / "applied")
    [pair] = read_preferences(applied, "train")
    assert (pair.chosen, pair.rejected) in [row.answers[::-1] for row in (first, second)]


def test_critique_and_revision_are_asked_with_what_came_before(tmp_path, judge_model, monkeypatch):
    asked, generate = [], Engine.generate

    def listen(self, conversations, sampling):
        asked.extend(each[-1].content for each in conversations)
        answers = generate(self, conversations, sampling)
        asked.extend(f"-> {each.text.strip()}" for each in answers)
        return answers

    monkeypatch.setattr(Engine, "generate", listen)
    file = write_rows(tmp_path / "rows.jsonl", LINES[:1])
    revise_answers(CONFIG, [file], tmp_path / "made", model=str(judge_model.path))
    critique, said, revision, _ = asked
    assert "<answer" in critique and "<critique" not in critique and "\n5\n" in critique
    assert "<critique" in revision and "Write the answer anew" in revision
    written = said.removeprefix("-> ").translate(str.maketrans("<>", "()"))
    assert written in revision and critique.split("<turn")[0] == revision.split("<turn")[0]


def test_a_revision_that_changes_nothing_is_left_out(tmp_path, judge_model):
    (tmp_path / "p.txt").write_text(read_principles()[0])
    short = ReviseConfig(max_tokens=1)

    def revise(name, completions):
        lines = [{"prompt": "Name a sign.", "completion": each} for each in completions]
        file, model = write_rows(tmp_path / f"{name}.jsonl", lines), str(judge_model.path)
        made = revise_answers(
            short, [file], tmp_path / name, model=model, principles=tmp_path / "p.txt"
        )
        return made, [row.answers for row in read_comparisons(made)]

    _, pairs = revise("first", ascii_letters)
    [(revised, _)] = Counter(pair[1] for pair in pairs).most_common(1)  # to nearly any answer
    made, pairs = revise("again", [revised, "1", "2"])
    assert made.numbers["rejected"] == {"Its revised answer equals the original one.": 1}
    assert pairs == [("1", revised), ("2", revised)]


def test_a_server_revises_too_and_prompts_beyond_the_context_are_left_out(
    tmp_path, judge_server, chat_model
):
    file = write_rows(tmp_path / "rows.jsonl", LINES[:2])
    made = revise_answers(CONFIG, [file], tmp_path / "made", model=address(judge_server))
    assert len(read_comparisons(made)) == 2
    assert read_votes(made.path)[0].who == "simulated:revision judge"
    with pytest.raises(Exception, match="None of 2 rows can be used: .*the context 256"):
        revise_answers(CONFIG, [file], tmp_path / "none", model=str(chat_model.path))
