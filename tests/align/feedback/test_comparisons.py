"""Answers to compare are read or sampled; what cannot be used says why; none is asked for twice."""

import json

import pytest

from groundup.align import AnswersConfig, sample_answers
from groundup.align.feedback import asking
from groundup.align.feedback.comparisons import (
    model_name,
    parse_comparison,
    read_comparisons,
)
from groundup.core import DataError, Message, Sampling
from groundup.generate import EndpointConfig, EndpointError, Engine
from groundup.measure import read_votes
from tests.align.feedback.conftest import address, kill_midway, requests_answered, write_rows

PAIR = {"prompt": "2+2?", "chosen": "4", "rejected": "5"}


def test_rows_of_each_layout_are_read():
    found = parse_comparison({"prompt": "2+2?", "answers": ["4", "5", "6"], "answer": "4", "x": 1})
    assert found.prompt == (Message("user", "2+2?"),) and found.names == ("a", "b", "c")
    assert found.references == ("4",)
    pair = parse_comparison(PAIR)
    assert (pair.answers, pair.origins) == (("4", "5"), ("chosen", "rejected"))
    assert parse_comparison({"prompt": "2+2?", "answer": ["4", "four"]}, samples=True) == (
        (Message("user", "2+2?"),), (), ("4", "four"), (), (), "",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (3, "It is no object"),
        ({"answers": ["a", "b"]}, "prompt is neither"),
        ({"prompt": "q"}, "has no answers; give them, or a --model"),
        ({"prompt": "q", "answers": ["a"]}, "2 to 26; it has 1"),
        ({"prompt": "q", "answers": ["a"] * 27}, "2 to 26; it has 27"),
        ({"prompt": "q", "answers": "a"}, "2 to 26; it has 1"),
        ({"prompt": "q", "answers": {"a": "b"}}, "neither a text nor a list of texts"),
        ({"prompt": "q", "answers": ["a", " "]}, "answers is empty"),
        ({"prompt": "q", "answers": ["a", 4]}, "answers is 4; expected a text"),
        ({"prompt": "q", "answers": ["a", "b", "a"]}, "Two of its answers are equal"),
        ({"prompt": "q", "answers": ["a", "b"], "origins": ["x"]}, "not one for each"),
        (PAIR | {"answers": ["a", "b"]}, "one of the two"),
        (PAIR | {"rejected": "4"}, "equals the rejected one"),
        ({"prompt": "q", "chosen": "a"}, "It has no rejected"),
    ],
)
def test_what_cannot_be_compared_says_why(row, reason):
    with pytest.raises(DataError, match=reason):
        parse_comparison(row)


def test_labels_of_a_file_are_votes_of_whoever_gave_them(tmp_path):
    odd = {"prompt": "q", "answers": ["a\u2028b", "a\x85\nb"]}
    file = write_rows(tmp_path / "rows.jsonl", [PAIR, odd, 3])
    made = sample_answers(AnswersConfig(labelled_by="simulated:x"), [file], tmp_path / "made")
    [vote] = read_votes(made.path)
    assert (vote.who, vote.subject, vote.value) == ("simulated:x", "c00001", "a")
    assert list(read_comparisons(made)[1].answers) == odd["answers"]
    assert made.numbers["comparisons"] == 2 and made.numbers["rejected"] == {"It is no object.": 1}
    with pytest.raises(DataError, match="None of 1 rows can be used: It is no object"):
        bad = write_rows(tmp_path / "bad.jsonl", [3])
        sample_answers(AnswersConfig(), [bad], tmp_path / "none")
    assert not (tmp_path / "none").exists()


PROMPTS = [{"prompt": f"Say {n}.", "answer": "4"} for n in range(14)]


def test_answers_are_what_the_engine_samples_by_seed(tmp_path, judge_model):
    file = write_rows(tmp_path / "rows.jsonl", [*PROMPTS, PAIR])
    config = AnswersConfig(answers=3, max_tokens=6, seed=5)
    made = sample_answers(config, [file], tmp_path / "made", model=str(judge_model.path))
    found = read_comparisons(made)
    assert [len(row.answers) for row in found] == [3] * 14 + [2]
    assert made.parents[0].id == judge_model.id and found[0].references == ("4",)
    engine = Engine.open(judge_model.path)
    for row in found[:2]:
        ids = engine.prompt_ids(row.prompt)
        for at, answer in enumerate(row.answers):
            sampling = Sampling(temperature=1.0, max_tokens=6, seed=5 + at)
            assert engine.continue_ids([ids], sampling)[0].text == answer


def test_a_killed_run_asks_for_what_is_missing_alone(tmp_path, judge_model, monkeypatch):
    file = write_rows(tmp_path / "rows.jsonl", PROMPTS)
    config, made = AnswersConfig(answers=2, max_tokens=4), tmp_path / "made"
    whole = sample_answers(config, [file], tmp_path / "whole", model=str(judge_model.path))
    batches, generate = [], Engine.generate

    def stop_at_the_third(self, conversations, sampling):
        batches.append(len(conversations))
        if len(batches) == 3:
            raise KeyboardInterrupt
        return generate(self, conversations, sampling)

    monkeypatch.setattr(Engine, "generate", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        sample_answers(config, [file], made, model=str(judge_model.path))
    again = sample_answers(config, [file], made, model=str(judge_model.path))
    assert batches == [asking.BATCH, 2, asking.BATCH, asking.BATCH, 2]
    assert again.id == whole.id


def test_a_kill_loses_no_answer_of_a_server(tmp_path, judge_server):
    file, made = write_rows(tmp_path / "rows.jsonl", PROMPTS), tmp_path / "made"
    one = EndpointConfig(concurrency=1)
    config = AnswersConfig(answers=3, max_tokens=6, endpoint=one)
    whole = sample_answers(config, [file], tmp_path / "whole", model=address(judge_server))
    before, kept = requests_answered(judge_server), made / ".scratch"
    words = ["--set", "answers=3", "--set", "max_tokens=6", "--set", "endpoint.concurrency=1"]
    command = ["preferences", "sample", file, "--out", made, "--model", address(judge_server)]
    lines = lambda: [  # noqa: E731
        line for each in kept.glob("answer *.jsonl") for line in each.read_text().splitlines()
    ]
    kill_midway([*command, *words], judge_server, lambda: len(lines()), at=16)
    assert 16 <= len(lines()) < 42, "in the second of three rounds, or the third"
    again = sample_answers(config, [file], made, model=address(judge_server))
    assert again.id == whole.id
    assert requests_answered(judge_server) - before in (42, 43), "the last one may be lost"


def test_answers_that_are_all_alike_are_left_out(tmp_path, judge_model):
    file = write_rows(tmp_path / "rows.jsonl", [*PROMPTS[:3], PAIR])
    config = AnswersConfig(answers=2, max_tokens=4, top_p=1e-6)
    made = sample_answers(config, [file], tmp_path / "made", model=str(judge_model.path))
    assert [row.answers for row in read_comparisons(made)] == [("4", "5")]
    [(reason, count)] = made.numbers["rejected"].items()
    assert reason == "Its 2 sampled answers are all equal." and count == 3


def test_prompts_beyond_the_context_are_left_out_and_the_others_answered(tmp_path, chat_model):
    rows = [PROMPTS[0], {"prompt": "long " * 100}, PROMPTS[1]]
    file = write_rows(tmp_path / "rows.jsonl", rows)
    made = sample_answers(
        AnswersConfig(answers=2, max_tokens=4),
        [file],
        tmp_path / "made",
        model=str(chat_model.path),
    )
    assert len(read_comparisons(made)) == 2
    [line] = (made.path / "rejected.jsonl").read_text().splitlines()
    assert "the context 256" in json.loads(line)["reason"]


def test_a_server_samples_too(tmp_path, judge_server):
    file = write_rows(tmp_path / "rows.jsonl", PROMPTS[:2])
    config = AnswersConfig(answers=2, max_tokens=6)
    made = sample_answers(config, [file], tmp_path / "made", model=address(judge_server))
    assert [len(row.answers) for row in read_comparisons(made)] == [2, 2]
    assert made.parents == () and made.config["source"].endswith(address(judge_server))


def test_a_server_that_hangs_is_asked_again_by_the_same_command(tmp_path, judge_server):
    file = write_rows(tmp_path / "rows.jsonl", PROMPTS[:2])
    late = EndpointConfig(timeouts={"request": 0.5, "attempt": 0.5}, retries={"attempts": 1})
    config, made = AnswersConfig(answers=2, max_tokens=6), tmp_path / "made"
    hasty = config.model_copy(update={"endpoint": late})
    judge_server.engine.suspend()
    try:
        with pytest.raises(EndpointError, match="2 answers are missing, mostly timeout"):
            sample_answers(hasty, [file], made, model=address(judge_server))
    finally:
        judge_server.engine.resume()
    found = read_comparisons(sample_answers(config, [file], made, model=address(judge_server)))
    assert [len(row.answers) for row in found] == [2, 2]


def test_the_name_of_a_model_is_its_folder_s_or_the_server_s():
    assert model_name("/x/tuned/") == "tuned" and model_name("http://h/v1#org/m") == "org/m"
