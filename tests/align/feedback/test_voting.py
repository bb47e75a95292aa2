"""Votes of judges and rewards: in the ledger at once, never twice, nonsense and hangs put aside."""

import json

import pytest

from groundup.align import (
    AnswersConfig,
    JudgeConfig,
    RewardConfig,
    judge_comparisons,
    sample_answers,
    score_comparisons,
)
from groundup.align.feedback.comparisons import read_comparisons
from groundup.align.feedback.judge import PairVerdict
from groundup.align.feedback.voting import _vote_of_verdicts, read_quarantine
from groundup.core import ConfigError
from groundup.generate import EndpointConfig, EndpointError, Engine
from groundup.measure import read_votes
from tests.align.feedback.conftest import (
    address,
    compared,
    kill_midway,
    requests_answered,
    rows,
    write_rows,
)

CHOICE = JudgeConfig(reply="choice")


def content(votes):
    return [vote[:1] + vote[2:] for vote in votes]


def test_wins_rank_answers_and_a_change_of_mind_is_told(comparisons):
    row = read_comparisons(comparisons)[0]
    verdicts = {
        (0, 1): PairVerdict(0.0, True, "b"), (0, 2): PairVerdict(0.5, False, ""),
        (1, 2): PairVerdict(1.0, True, ""),
    }  # fmt: skip
    vote = _vote_of_verdicts("simulated:x", row, verdicts)
    assert (vote.form, vote.value, vote.shown) == ("ranking", "b>a=c", ("a", "b", "c"))
    assert vote.reason == "changed with the order in 1 of 3 pairs. "
    [other] = [_vote_of_verdicts("simulated:x", read_comparisons(comparisons)[1], {
        (0, 1): PairVerdict(0.0, True, "because")})]  # fmt: skip
    assert (other.form, other.value, other.reason) == ("choice", "b", "because")


def test_a_local_judge_votes_once_on_everything(comparisons, judge_model, prompt):
    judged = judge_comparisons(comparisons, str(judge_model.path), config=CHOICE, prompt=prompt)
    votes = read_votes(comparisons.path)
    assert judged.voted == len(votes) == 6 and not judged.quarantined
    assert {vote.who for vote in votes} == {judged.who}
    assert judged.who.startswith("simulated:judge#") and judged.who in str(judged)
    again = judge_comparisons(comparisons, str(judge_model.path), config=CHOICE, prompt=prompt)
    assert (again.voted, again.earlier) == (0, 6) and read_votes(comparisons.path) == votes
    other = judge_comparisons(comparisons, str(judge_model.path), config=CHOICE)
    assert other.who != judged.who and other.voted == 6


def test_a_server_s_judge_says_what_the_engine_says(tmp_path, judge_model, judge_server, prompt):
    local, remote = compared(tmp_path / "a"), compared(tmp_path / "b")
    judge_comparisons(local, str(judge_model.path), config=CHOICE, prompt=prompt)
    judge_comparisons(remote, address(judge_server), config=CHOICE, prompt=prompt)
    both = [
        {vote.subject: vote.value for vote in read_votes(each.path)} for each in (local, remote)
    ]
    assert both[0] == both[1] and len(both[0]) == 6


def test_a_killed_judge_goes_on_where_it_was(
    tmp_path, comparisons, judge_model, prompt, monkeypatch
):
    whole = compared(tmp_path / "whole", rows(16))
    half = compared(tmp_path / "half", rows(16))
    judge_comparisons(whole, str(judge_model.path), config=CHOICE, prompt=prompt)
    calls, generate = [], Engine.generate

    def stop_at_the_second(self, conversations, sampling):
        calls.append(len(conversations))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return generate(self, conversations, sampling)

    monkeypatch.setattr(Engine, "generate", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        judge_comparisons(half, str(judge_model.path), config=CHOICE, prompt=prompt)
    assert len(read_votes(half.path)) == 4  # 12 requests: three pairs of the first, and three more
    report = judge_comparisons(half, str(judge_model.path), config=CHOICE, prompt=prompt)
    assert (report.voted, report.earlier) == (12, 4)
    assert content(read_votes(half.path)) == content(read_votes(whole.path))


def test_a_kill_loses_no_vote_of_a_server_s_judge(tmp_path, judge_server, prompt):
    whole, made = (compared(tmp_path / name, rows(16)) for name in ("whole", "made"))
    config = JudgeConfig(reply="choice", endpoint=EndpointConfig(concurrency=1))
    judge = address(judge_server)
    judge_comparisons(whole, judge, config=config, prompt=prompt)
    before = requests_answered(judge_server)
    command = ["preferences", "judge", made.path, "--model", judge, "--prompt", prompt,
               "--set", "reply=choice", "--set", "endpoint.concurrency=1"]  # fmt: skip
    kill_midway(command, judge_server, lambda: len(read_votes(made.path)), at=5)
    earlier = len(read_votes(made.path))
    report = judge_comparisons(made, judge, config=config, prompt=prompt)
    assert 5 <= earlier < 16 and (report.voted, report.earlier) == (16 - earlier, earlier)
    assert content(read_votes(made.path)) == content(read_votes(whole.path))
    asked = requests_answered(judge_server) - before
    assert 36 <= asked <= 38, "18 pairs in both orders, and those of the vote that was not complete"


def test_nonsense_is_put_aside_with_what_was_said(comparisons, judge_model):
    config = JudgeConfig(max_tokens=8)
    report = judge_comparisons(comparisons, str(judge_model.path), config=config)
    assert report.quarantined == {"no_verdict": 6} and read_votes(comparisons.path) == []
    aside = read_quarantine(comparisons.path)
    assert [each.subject for each in aside] == [row.id for row in read_comparisons(comparisons)]
    assert all(each.reason.startswith("The judge gave no verdict: ") for each in aside)
    again = judge_comparisons(comparisons, str(judge_model.path), config=config)
    assert (again.earlier, again.quarantined) == (6, {})


def test_a_pair_beyond_the_context_is_put_aside_alone_and_asked_again(
    tmp_path, judge_model, prompt
):
    lines = [{"prompt": "q", "answers": ["a", "b " * 2500]}, *rows()]
    made, judge = compared(tmp_path / "long", lines), str(judge_model.path)
    report = judge_comparisons(made, judge, config=CHOICE, prompt=prompt)
    assert report.voted == 6 and report.quarantined == {"CapacityError": 1}
    [aside] = read_quarantine(made.path)
    assert (aside.who, aside.subject, aside.value) == (report.who, "c00001", "CapacityError")
    assert "the context 4096" in aside.reason
    again = judge_comparisons(made, judge, config=CHOICE, prompt=prompt)
    assert (again.voted, again.earlier, again.quarantined) == (0, 6, {"CapacityError": 1})


def test_a_judge_that_hangs_ends_at_its_limit_and_is_asked_again_or_put_aside(
    tmp_path, comparisons, judge_server, prompt
):
    other = compared(tmp_path / "other")
    times = {"request": 0.5, "attempt": 0.5}
    late = EndpointConfig(timeouts=times, retries={"attempts": 1, "stop_after": 99}, concurrency=16)
    judge, ask = address(judge_server), JudgeConfig(reply="choice", endpoint=late)
    judge_server.engine.suspend()
    try:
        with pytest.raises(EndpointError, match="6 answers are missing, mostly timeout"):
            judge_comparisons(comparisons, judge, config=ask, prompt=prompt)
        assert read_votes(comparisons.path) == read_quarantine(comparisons.path) == []
        accepts = ask.model_copy(update={"accept_failures": True})
        report = judge_comparisons(other, judge, config=accepts, prompt=prompt)
        assert report.quarantined == {"timeout": 6} and read_votes(other.path) == []
    finally:
        judge_server.engine.resume()
    assert judge_comparisons(comparisons, judge, config=CHOICE, prompt=prompt).voted == 6


def test_a_dry_run_counts_requests_and_sends_none(comparisons):
    prices = {"prompt": 1000.0, "completion": 1000.0}
    config = JudgeConfig(max_tokens=10, endpoint=EndpointConfig(prices=prices))
    url = "http://127.0.0.1:9/v1#big"
    text = judge_comparisons(comparisons, url, config=config, dry_run=True)
    assert "6 comparisons, 8 pairs, 16 requests" in text and "at most 160 of replies" in text
    assert "at these prices" in text and "simulated:big#" in text and "--- system" in text
    with pytest.raises(ConfigError, match="other names"):
        wrong = comparisons.path / "wrong.toml"
        wrong.write_text('part = [{kind = "data", name = "answer"}]')
        judge_comparisons(comparisons, url, config=config, prompt=wrong, dry_run=True)


def test_rewards_rank_and_what_they_cannot_score_is_put_aside(tmp_path):
    lines = [
        {"prompt": "2+2?", "answers": ["4", "5", "It is 4."], "answer": "4"},
        {"prompt": "2+3?", "answers": ["6", "5"], "answer": ["5", "five"]},
        {"prompt": "Why?", "answers": ["so", "no"]},
    ]
    file = write_rows(tmp_path / "rows.jsonl", lines)
    made = sample_answers(AnswersConfig(), [file], tmp_path / "made")
    report = score_comparisons(made, config=RewardConfig())
    assert report.quarantined == {"no_reward": 1} and report.ties == 1
    votes = read_votes(made.path)
    assert [vote.value for vote in votes] == ["a=c>b", "b"]
    assert {vote.who for vote in votes} == {"simulated:rewards number=1"}
    assert votes[0].reason == "a 1, b 0, c 1"
    assert score_comparisons(made, config=RewardConfig()).earlier == 3
    assert json.loads((made.path / "ledger/quarantine.jsonl").read_text())["content"]["subject"]
    code = "from groundup.core import Score\ndef long(sample, answer): return Score(%s, 'long')\n"
    voters = set()
    for worth in ("len(answer.text)", "1 / 0"):
        (tmp_path / "own.py").write_text(code % worth)
        own = RewardConfig(number=0, scorer=f"{tmp_path}/own.py:long")
        report = score_comparisons(made, config=own)
        voters.add(report.who)
        assert (report.voted, report.quarantined) in [(3, {}), (0, {"no_reward": 3})]
    assert len(voters) == 2 and all("own.py:long#" in each for each in voters)


def test_code_and_quotes_are_scored_by_what_the_rows_say(tmp_path):
    code = ("def add(a, b):\n    return a + b", "def add(a, b):\n    return a - b")
    lines = [
        {"prompt": "Write add.", "answers": [*code], "tests": "assert add(1, 2) == 3"},
        {"prompt": "How?", "chosen": "By wire.", "rejected": "By rod.", "source": "How? By wire."},
        {"prompt": "Whose?", "answers": ["a", "b"], "tests": 3},
    ]
    file = write_rows(tmp_path / "rows.jsonl", lines)
    made = sample_answers(AnswersConfig(), [file], tmp_path / "made")
    assert "Its tests is no text." in (made.path / "rejected.jsonl").read_text()
    report = score_comparisons(made, config=RewardConfig(number=0, code=1))
    assert report.voted == 1 and report.quarantined == {"no_reward": 1}
    assert score_comparisons(made, config=RewardConfig(number=0, quoted=1)).voted == 2
    votes = {(vote.who, vote.subject): vote.value for vote in read_votes(made.path)}
    assert votes["simulated:rewards code=1", "c00001"] == "a"
    assert votes["simulated:rewards quoted=1", "c00002"] == "a"
