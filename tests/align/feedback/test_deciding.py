"""People vote blind and lose nothing; votes become preferences; who is no person is told so."""

import io
import json
import signal
import subprocess
import sys

import pytest

from groundup.align import (
    JudgeConfig,
    VotesConfig,
    apply_votes,
    judge_comparisons,
    review_comparisons,
)
from groundup.align.feedback.comparisons import majority, read_comparisons
from groundup.align.feedback.deciding import report_votes
from groundup.align.preferences import read_preferences
from groundup.core import ConfigError, DataError, Judgement, child
from groundup.measure import pairwise_votes, read_votes, record_vote
from tests.align.feedback.conftest import compared, rows

AI = "simulated:judge#1"


def choose(comparisons, who, values, reason=""):
    """Votes of a rater on the first comparisons, in order; None leaves one out."""
    for row, value in zip(read_comparisons(comparisons), values, strict=False):
        if value is None:
            continue
        form = "label" if value == "drop" else "ranking" if len(row.names) > 2 else "choice"
        shown = () if form == "label" else row.names
        record_vote(comparisons.path, Judgement(who, "", row.id, form, value, reason, shown))


def pairs_of(made):
    return [
        (each.prompt[0].content, each.chosen, each.rejected)
        for split in ("train", "validation") for each in read_preferences(made, split)
    ]  # fmt: skip


def labels_of(made):
    return made.numbers["labels by people"], made.numbers["labels simulated"]


@pytest.fixture
def typed(monkeypatch):
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_people_see_answers_blind_in_orders_of_their_own(comparisons, typed, capsys):
    shown = {}
    for who in ("ana", "ben", "cleo", "dora"):
        typed("=\n" * 6)
        summary = review_comparisons(comparisons, who=who)
        assert str(summary) == f"{who} has compared 6 of 6: 6 with ties, 0 dropped."
        votes = [vote for vote in read_votes(comparisons.path) if vote.who == who]
        shown[who] = {vote.subject: vote.shown for vote in votes}
    out = capsys.readouterr().out
    assert "m-x" not in out and "A longer answer, with reasons." in out
    assert len({tuple(each.items()) for each in shown.values()}) == 4
    assert len({each["c00001"] for each in shown.values()}) > 1
    assert len({each["c00002"] for each in shown.values()}) == 2


def test_piped_decisions_without_a_name_are_a_script_s(comparisons, typed, monkeypatch):
    monkeypatch.setattr("groundup.measure.review.verb._git_name", lambda: "ana")
    typed("=\n" * 6)
    summary = review_comparisons(comparisons)
    assert str(summary).startswith("simulated:ana has compared 6 of 6")
    [rater] = report_votes(read_votes(comparisons.path)).raters
    assert rater.simulated and rater.who == "simulated:ana" and rater.votes == 6


def test_raters_that_always_say_the_same_have_no_kappa(comparisons):
    choose(comparisons, "ana", [None, "a", "a", "a"])
    choose(comparisons, "ben", [None, "a", "a", "a"])
    text = str(report_votes(read_votes(comparisons.path)))
    assert "of the 3 that both judged; no kappa: all ratings of a side are equal, so agree" in text


def test_a_choice_is_recorded_by_what_was_chosen_and_not_where_it_stood(comparisons, typed):
    typed("1 because\n2 so\n1 because\n2 so\n2 so\n1 because\n")
    with pytest.raises(DataError, match="Line 6: Rank each of the answers 1 to 3 once"):
        review_comparisons(comparisons, who="ana")
    typed("3>1=2 the third\n")  # the only one of three, which it stopped at
    review_comparisons(comparisons, who="ana")
    votes = {vote.subject: vote for vote in read_votes(comparisons.path)}
    assert len(votes) == 6
    for vote in votes.values():
        if vote.form == "choice":
            assert vote.value == vote.shown[["because", "so"].index(vote.reason)]
    assert {vote.value for vote in votes.values()} >= {"a", "b"}
    first, second, third = votes["c00001"].shown
    assert votes["c00001"].value == f"{third}>{first}={second}"
    assert votes["c00001"].reason == "the third"


def start(comparisons, who):
    words = child.python_command(
        "-m", "groundup", "preferences", "review", str(comparisons.path), "--who", who
    )
    return subprocess.Popen(
        words, env=child.python_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_a_kill_loses_no_vote_and_two_reviewers_do_not_meet(comparisons, typed):
    ana, ben = start(comparisons, "ana"), start(comparisons, "ben")
    for process in (ana, ben):
        process.stdin.write("=\n=\n=\n")
        process.stdin.flush()
    for process in (ana, ben):
        recorded = 0
        while recorded < 3:
            recorded += "Recorded." in process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate()
    votes = read_votes(comparisons.path)
    assert sorted(vote.who for vote in votes) == ["ana"] * 3 + ["ben"] * 3
    typed("=\n" * 3)
    assert review_comparisons(comparisons, who="ana").reviewed == 6
    assert len(read_votes(comparisons.path)) == 9


def test_rankings_become_pairs_and_ties_drops_and_silence_say_why(comparisons):
    choose(comparisons, "ana", ["b>a=c", "a", "tie", "drop"], "as I see it")
    with pytest.raises(DataError, match="has no votes; run"):
        apply_votes(VotesConfig(), compared(comparisons.path / "x"), comparisons.path / "y")
    made = apply_votes(VotesConfig(validation_share=0.5), comparisons, comparisons.path / "made")
    assert sorted(pairs_of(made)) == [
        ("Which fruit?", "no", "A longer answer, with reasons."), ("Which fruit?", "no", "yes"),
        ("Why 0?", "yes", "no"),
    ]  # fmt: skip
    assert made.numbers["rejected"] == {
        "Its answers tie.": 1, "Dropped: as I see it": 1, "It has no vote.": 2,
    }  # fmt: skip
    assert labels_of(made) == (3, 0)
    assert [parent.name for parent in made.parents] == ["comparisons"]
    best = VotesConfig(pairs="best_worst", validation_share=0.5)
    ends = pairs_of(apply_votes(best, comparisons, comparisons.path / "ends"))
    assert sorted(ends)[0] == ("Which fruit?", "no", "yes") and len(ends) == 2


@pytest.mark.parametrize(
    ("values", "winner"),
    [("===a", "tie"), ("=a", "tie"), ("==aab", "tie"), ("=aab", "a"), ("ab", "tie"), ("b", "b")],
)
def test_ties_are_counted_as_the_answers_are(values, winner):
    votes = [
        Judgement(f"r{at}", "", "c1 a b", "choice", "tie" if value == "=" else value,
                  shown=("a", "b"))
        for at, value in enumerate(values)
    ]  # fmt: skip
    assert majority(votes) == winner


def test_a_majority_decides_and_people_come_before_others(comparisons):
    choose(comparisons, AI, ["a>b>c", "b", "b", "a", "a"])
    choose(comparisons, "ana", [None, "a", "a", "a", "tie"])
    choose(comparisons, "ben", [None, None, "b", "a"])
    choose(comparisons, "cleo", [None, None, "a", "b"])
    made = apply_votes(VotesConfig(validation_share=0.4), comparisons, comparisons.path / "made")
    by_prompt = {prompt: chosen for prompt, chosen, _ in pairs_of(made)}
    assert by_prompt == {"Which fruit?": by_prompt["Which fruit?"], "Why 0?": "yes",
                         "Why 1?": "yes", "Why 2?": "yes"}  # fmt: skip
    assert labels_of(made) == (3, 3)
    assert made.numbers["rejected"]["Its answers tie."] == 1
    rows = [json.loads(line) for line in (made.path / "votes.jsonl").read_text().splitlines()]
    assert {row["who"] for row in rows} == {AI, "ana", "ben", "cleo"} and len(rows) == 13
    alone = VotesConfig(raters="simulated", validation_share=0.4)
    judged = apply_votes(alone, comparisons, comparisons.path / "judged")
    assert labels_of(judged) == (0, 7)
    people = VotesConfig(raters="people", validation_share=0.4)
    assert len(pairs_of(apply_votes(people, comparisons, comparisons.path / "people"))) == 3


def test_who_is_no_person_is_told_so_and_agreement_has_its_interval(tmp_path):
    made = compared(tmp_path, rows(22))
    for who, wrong in (("ana", 0), ("ben", 2), (AI, 5)):
        choose(made, who, [None, *["a"] * (20 - wrong), *["b"] * wrong, "tie"])
    report = report_votes(read_votes(made.path))
    assert [(each.who, each.votes, each.simulated) for each in report.raters] == [
        ("ana", 21, False), ("ben", 21, False), (AI, 21, True),
    ]  # fmt: skip
    [pair] = report.with_people
    assert {"people", AI} == {*pair[:2]} and pair.subjects == 21
    # ana and ben differ on two, where the people tie and the judge does not
    assert pair.share.estimate == pytest.approx(16 / 21)
    assert 0.5 < pair.share.low < 16 / 21 < pair.share.high < 0.95
    text = str(review_comparisons(made, results=True))
    assert f"{AI} (simulated, no person): 21 votes, 1 with ties" in text
    assert "ana: 21 votes" in text and "ana and ben agree on 90.5 % [" in text
    assert f"people and {AI} agree on 76.2 % [" in text and "kappa 0." in text


def test_what_is_disputed_goes_to_people_until_they_settle_it(comparisons, typed):
    choose(comparisons, AI, ["a>b>c", "b", "b"])
    choose(comparisons, AI, [None] * 4 + ["tie"], "changed with the order in 1 of 1 pairs.")
    choose(comparisons, "ana", ["a>b>c", "a", "b", "a"])
    disputed = lambda: review_comparisons(comparisons, results=True).disputed  # noqa: E731
    assert disputed() == ("c00002", "c00005")
    typed("s\nq\n")
    assert review_comparisons(comparisons, who="ben", disputed=True).total == 2
    choose(comparisons, "ben", [None, "a", None, None, "a"])
    assert disputed() == ("c00005",)  # the judge's tie against one person
    choose(comparisons, "cleo", [None] * 4 + ["a"])
    assert disputed() == ()
    assert str(review_comparisons(comparisons, who="dora", disputed=True)).endswith("shows them)")


def test_what_a_judge_gave_no_verdict_on_is_disputed(comparisons, judge_model):
    judge_comparisons(comparisons, str(judge_model.path), config=JudgeConfig(max_tokens=4))
    choose(comparisons, "ana", [None, "a"])
    report = review_comparisons(comparisons, results=True)
    assert len(report.disputed) == 5 and "c00002" not in report.disputed
    choose(comparisons, "ana", [None, None, "b"])
    made = apply_votes(VotesConfig(validation_share=0.5), comparisons, comparisons.path / "made")
    reasons = made.numbers["rejected"]
    assert sum(reasons.values()) == 4 and all("gave no verdict" in each for each in reasons)


def test_labels_of_models_need_the_agreement_that_is_asked_for(tmp_path):
    made, config = compared(tmp_path, rows(31)), VotesConfig(min_agreement=0.8)
    choose(made, AI, [None, *["a"] * 30])
    with pytest.raises(DataError, match="on no pair that both compared"):
        apply_votes(config, made, tmp_path / "none")
    choose(made, "ana", [None, *["a"] * 5])
    with pytest.raises(DataError, match=r"agrees with people on 100.0 % \[56.6, 100.0\]"):
        apply_votes(config, made, tmp_path / "few")
    assert not (tmp_path / "few").exists()
    choose(made, "ana", [None, *[None] * 5, *["a"] * 20])
    assert len(pairs_of(apply_votes(config, made, tmp_path / "made"))) == 30


def test_votes_of_other_comparisons_are_refused(comparisons):
    record_vote(comparisons.path, Judgement("ana", "", "c00099", "choice", "a", "", ("a", "b")))
    with pytest.raises(DataError, match="has votes on c00099, which it does not have"):
        apply_votes(VotesConfig(), comparisons, comparisons.path / "made")


def test_pairs_of_votes_are_named_by_their_answers():
    vote = Judgement("ana", "", "c1", "choice", "tie", shown=("b", "a"))
    assert [(each.subject, each.value) for each in pairwise_votes([vote])] == [("c1 a b", "tie")]
    label = Judgement("ana", "", "c1", "label", "drop")
    assert pairwise_votes([label]) == []


def test_a_negative_sample_is_refused(comparisons, typed):
    with pytest.raises(ConfigError, match="--sample -1"):
        review_comparisons(comparisons, sample=-1)
    typed("q\n")
    assert review_comparisons(comparisons, who="ana", sample=2).total == 2
