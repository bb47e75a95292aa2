"""Every vote is kept, the latest one stands, and nobody can tell from the order who made what."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError, DataError, Judgement, Ledger, Reason
from groundup.measure.judgement import (
    VOTES,
    current_votes,
    is_simulated,
    pairwise_votes,
    ranking_vote,
    rater_agreement,
    read_votes,
    record_vote,
    withdraw_vote,
)


def label(who: str, subject: str, value: str, when: str = "2026-01-31T12:00:00Z") -> Judgement:
    return Judgement(who, when, subject, "label", value)


def test_votes_come_back_as_they_were_given(tmp_path):
    one = Judgement("ana", "", "q1", "choice", "ours", "shorter", ("theirs", "ours"), 4.5)
    made = record_vote(tmp_path, one)
    assert made.when and made == one._replace(when=made.when)
    assert read_votes(tmp_path) == [made]
    assert (tmp_path / VOTES).is_file()


def test_the_latest_vote_of_a_person_stands_in_each_form(tmp_path):
    record_vote(tmp_path, label("ana", "q1", "accept", ""))
    record_vote(tmp_path, label("ben", "q1", "accept", ""))
    record_vote(tmp_path, Judgement("ana", "", "q1", "rating", "4"))
    record_vote(tmp_path, label("ana", "q1", "drop", ""))
    now = {(v.who, v.form): v.value for v in current_votes(read_votes(tmp_path))}
    expected = {("ana", "label"): "drop", ("ben", "label"): "accept", ("ana", "rating"): "4"}
    assert now == expected
    assert len(read_votes(tmp_path)) == 4


def test_a_vote_taken_back_is_history(tmp_path):
    withdraw_vote(tmp_path, record_vote(tmp_path, label("ana", "q1", "accept", "")))
    assert current_votes(read_votes(tmp_path)) == [] and len(read_votes(tmp_path)) == 2
    record_vote(tmp_path, label("ana", "q1", "drop", ""))
    assert [vote.value for vote in current_votes(read_votes(tmp_path))] == ["drop"]


@given(st.permutations([("a", "1"), ("b", "2"), ("c", "3")]))
def test_the_newest_time_stands_whatever_the_order_of_writing(order):
    given_ = [label("ana", "q", value, f"2026-01-0{day}T00:00:00Z") for value, day in order]
    assert [vote.value for vote in current_votes(given_)] == ["c"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Judgement("", "", "q1", "label", "x"), "one of them is empty"),
        (Judgement("ana", "", "", "label", "x"), "one of them is empty"),
        (Judgement("ana", "", "q1", "opinion", "x"), "form is one of label"),  # type: ignore
        (Judgement("ana", "", "q1", "rating", "good"), "must be a number"),
        (Judgement("ana", "", "q1", "rating", "nan"), "must be a number"),
        (Judgement("ana", "", "q1", "edit", "no json"), "JSON object"),
        (Judgement("ana", "", "q1", "edit", "[]"), "JSON object"),
        (Judgement("ana", "", "q1", "choice", "x", shown=("a", "b")), "one of a, b or tie"),
        (Judgement("ana", "", "q1", "label", "x" * 300_000), "300,000 characters"),
        (Judgement("ana", "", "q1", "label", "\ud800"), "JSON values"),
    ],
)
def test_a_vote_that_makes_no_sense_is_refused_and_not_written(tmp_path, wrong, says):
    with pytest.raises(DataError, match=says):
        record_vote(tmp_path, wrong)
    assert read_votes(tmp_path) == []


def test_many_hands_at_once_lose_nothing(tmp_path):
    def work(who: str) -> None:
        for number in range(25):
            record_vote(tmp_path, label(who, f"q{number}", "accept", ""))

    threads = [threading.Thread(target=work, args=(f"person {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(current_votes(read_votes(tmp_path))) == 100


def test_a_torn_last_line_is_passed_over(tmp_path):
    record_vote(tmp_path, label("ana", "q1", "accept", ""))
    with open(tmp_path / VOTES, "a") as file:
        file.write('{"sequence": 2, "when"')
    assert len(read_votes(tmp_path)) == 1
    record_vote(tmp_path, label("ana", "q2", "accept", ""))
    assert len(read_votes(tmp_path)) == 2


def test_agreement_is_what_two_people_share():
    ana = [label("ana", f"q{n}", "accept" if n < 8 else "drop") for n in range(10)]
    ben = [label("ben", f"q{n}", "accept" if n < 7 else "drop") for n in range(10)]
    found = rater_agreement([*ana, *ben, label("cleo", "q99", "drop")])
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.subjects) == ("ana", "ben", 10)
    assert pair.share.estimate == 0.9 and pair.share.low < 0.9
    assert found.disputed == ("q7",) and found.subjects == 10
    # Cohen by hand: agree 0.9, by chance 0.8 * 0.7 + 0.2 * 0.3 = 0.62.
    assert not isinstance(pair.kappa, Reason)
    assert pair.kappa.estimate == pytest.approx((0.9 - 0.62) / (1 - 0.62))
    assert not isinstance(found.alpha, Reason) and 0.6 < found.alpha.estimate < 0.9


def test_without_a_shared_subject_there_is_a_reason():
    found = rater_agreement([label("ana", "q1", "accept"), label("ben", "q2", "accept")])
    assert found.pairs == () and found.disputed == ()
    assert isinstance(found.alpha, Reason) and found.alpha.code == "nobody_shares"


@pytest.mark.parametrize(
    ("vote", "told"),
    [
        (Judgement("ana", "", "q1", "edit", '{"references": "Paris"}'), "list of texts"),
        (Judgement("ana", "", "q1", "edit", '{"references": 5}'), "list of texts"),
        (Judgement("ana", "", "q1", "edit", '{"references": ["a", 5]}'), "list of texts"),
        (Judgement("ana", "", "q1", "edit", '{"question": null}'), "text as question"),
        (Judgement("ana\nben", "", "q1", "label", "drop"), "line of printable characters"),
        (Judgement("ana", "", "q1", "label", "  "), "must be a word"),
    ],
)
def test_votes_that_could_not_be_applied_are_neither_written_nor_read(vote, told, tmp_path):
    with pytest.raises(DataError, match=told):
        record_vote(tmp_path, vote)
    Ledger(tmp_path / VOTES).append(vote._asdict())
    with pytest.raises(DataError, match=told):
        read_votes(tmp_path)


def test_agreement_in_an_unknown_form_is_refused():
    with pytest.raises(ConfigError, match="form='labels' is unknown; did you mean `label`"):
        rater_agreement([], "labels")


@pytest.mark.parametrize("value", ["a>b", "a>b>b", "a>b=c>d", "a b c", ">a>b>c", "c>b>a>"])
def test_a_ranking_ranks_each_option_once(tmp_path, value):
    shown = ("a", "b", "c")
    with pytest.raises(DataError, match="rank each of a, b, c once"):
        record_vote(tmp_path, Judgement("ana", "", "q1", "ranking", value, shown=shown))
    record_vote(tmp_path, Judgement("ana", "", "q1", "ranking", "b>a=c", shown=shown))
    assert [vote.value for vote in read_votes(tmp_path)] == ["b>a=c"]


def test_agreement_on_pairs_of_one_question_counts_as_one_question():
    given = []
    for at in range(12):
        for who, scores in (("ana", (3.0, 2.0, 1.0)), ("ben", (3.0, 2.0, 1.0 + 4 * (at < 3)))):
            named = dict(zip("abc", scores, strict=True))
            given.append(ranking_vote(who, f"q{at}", named, ""))
    pairs = pairwise_votes(given)
    by_question = rater_agreement(pairs, "choice", {vote.subject: vote.subject.split()[0]
                                                    for vote in pairs})  # fmt: skip
    [clustered], [alone] = by_question.pairs, rater_agreement(pairs, "choice").pairs
    assert clustered.subjects == alone.subjects == 36
    assert clustered.share.estimate == alone.share.estimate == pytest.approx(30 / 36)
    assert clustered.share.low < alone.share.low and clustered.share.high > alone.share.high
    assert len(by_question.disputed) == 6 and is_simulated("simulated:x") and not is_simulated("x")
