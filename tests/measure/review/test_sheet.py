"""A sheet shows what is needed and hides the rest, goes on where it was left, and loses nothing."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import DataError, Reason, Sample
from groundup.measure.judgement import current_votes, read_votes
from groundup.measure.review.sheet import (
    ReviewItem,
    ReviewSheet,
    _changed_fields,
    parse_order,
    sample_item,
    sample_items,
)
from tests.measure.review.sheets import PASSAGE, compared_sheet, items, sheet


def item(subject: str, kind: str = "") -> ReviewItem:
    return ReviewItem(subject, kind, (), ())


def test_an_item_shows_the_source_and_not_the_maker():
    one = items(1)[0]
    assert one.passage == PASSAGE and one.span is not None
    assert one.passage[slice(*one.span)] == "at night"
    assert "hidden-model" not in repr(one)


@pytest.mark.parametrize("span", [None, "x", [3], [5, 2], [-1, 4], [0, 10**6], [0.5, 2]])
def test_a_span_that_is_none_is_not_shown(span):
    sample = Sample("1", (), metadata={"passage": "short", "span": span})
    assert sample_item(sample).span is None


@pytest.mark.parametrize("metadata", [{}, {"passage": 7, "kind": None, "source": None}])
def test_a_sample_without_a_source_is_shown_without(metadata):
    assert sample_item(Sample("1", (), metadata=metadata)).passage == ""


@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=80),
    st.integers(1, 90),
    st.integers(0, 3),
)
def test_a_drawn_subset_has_its_size_and_each_kind_its_share(kinds, number, seed):
    all_items = [item(str(n), kind) for n, kind in enumerate(kinds)]
    chosen = sample_items(all_items, number, seed)
    assert chosen == sample_items(all_items, number, seed)
    assert len(chosen) == min(number, len(kinds)) == len({one.subject for one in chosen})
    whole, part = Counter(kinds), Counter(one.kind for one in chosen)
    if number >= len(whole):
        assert part.keys() == whole.keys()
        small = sum(count * len(chosen) < len(kinds) for count in whole.values())
        for kind, count in whole.items():
            assert abs(part[kind] - count * len(chosen) / len(kinds)) < 1 + small


def test_reviewers_see_the_same_items_in_orders_of_their_own(tmp_path):
    orders = {who: list(ReviewSheet(tmp_path, items(), who).items) for who in ("ana", "ben")}
    assert orders["ana"] != orders["ben"] and set(orders["ana"]) == set(orders["ben"])
    assert orders["ana"] == list(ReviewSheet(tmp_path, items()[::-1], "ana").items)


def test_decisions_are_on_disk_and_a_new_sheet_goes_on(tmp_path):
    one = sheet(tmp_path)
    order = list(one.items)
    one.decide(order[0], "accept")
    one.decide(order[1], "drop", reason=" the answer is wrong ")
    one.decide(order[2], "modify", fields={"question": "When?", "references": ["at night"]})
    assert one.progress == (3, 8)
    again = sheet(tmp_path)
    assert again.progress == (3, 8) and again.current is not None
    assert again.current.subject == order[3]
    found = {v.subject: v for v in current_votes(read_votes(tmp_path))}
    assert found[order[1]].value == "drop" and found[order[1]].reason == "the answer is wrong"
    assert json.loads(found[order[2]].value) == {"question": "When?"}
    assert found[order[0]].seconds is None and found[order[0]].who == "ana"


def test_what_is_shown_is_timed(tmp_path):
    one = sheet(tmp_path)
    assert one.current is not None
    assert one.decide(one.current.subject, "accept").seconds is not None


def test_undo_goes_back_through_sessions_too(tmp_path):
    one = sheet(tmp_path)
    order = list(one.items)
    for subject in order[:2]:
        one.decide(subject, "accept")
    again = sheet(tmp_path)
    for subject in (order[1], order[0]):
        undone = again.undo()
        assert undone is not None and undone.subject == subject == again.queue[0]
    assert again.undo() is None
    assert current_votes(read_votes(tmp_path)) == [] and len(read_votes(tmp_path)) == 4


def test_a_skipped_item_comes_again_at_the_end(tmp_path):
    one = sheet(tmp_path, number=3)
    order = list(one.items)
    one.skip(order[0])
    assert one.queue == [order[1], order[2], order[0]]
    assert one.progress[0] == 0


def test_deciding_anew_leaves_one_decision(tmp_path):
    one = sheet(tmp_path)
    subject = next(iter(one.items))
    one.decide(subject, "modify", fields={"question": "When?"})
    one.decide(subject, "drop", reason="not worth asking")
    (vote,) = current_votes(read_votes(tmp_path))
    assert (vote.form, vote.value) == ("label", "drop")
    assert one.progress[0] == 1
    assert sheet(tmp_path).decided[subject].value == "drop"


def test_other_peoples_votes_do_not_count_as_mine(tmp_path):
    sheet(tmp_path, "ben").decide("q1", "accept")
    assert sheet(tmp_path, "ana").progress[0] == 0


@pytest.mark.parametrize(
    ("subject", "action", "reason", "fields", "says"),
    [
        ("q99", "accept", "", None, "no.*'q99'|nothing with the id 'q99'"),
        ("q1", "A", "", None, "accept, modify, drop; got 'A'"),
        ("q1", "drop", "  ", None, "needs a reason"),
        ("q1", "modify", "", {}, "Nothing was changed"),
        ("q1", "modify", "", {"question": " "}, "must not be empty"),
        ("q1", "modify", "", {"references": "text"}, "list of texts"),
        ("q1", "modify", "", {"references": [1]}, "must not be empty"),
        ("q1", "modify", "", {"id": "x"}, "Only question and references"),
    ],
)
def test_what_cannot_be_is_refused_and_not_recorded(
    tmp_path, subject, action, reason, fields, says
):
    with pytest.raises(DataError, match=says):
        sheet(tmp_path).decide(subject, action, reason=reason, fields=fields)
    assert read_votes(tmp_path) == []


def test_only_what_differs_is_modified():
    one = items(1)[0]
    assert _changed_fields(one, {"question": one.question + " ", "references": ["at dusk"]}) == {
        "references": ["at dusk"]
    }


def test_the_summary_says_how_much_was_wrong(tmp_path):
    one = sheet(tmp_path)
    empty = one.summary()
    assert isinstance(empty.error, Reason) and "No sample" in str(empty)
    for number in range(6):
        one.decide(f"q{number}", "accept")
    one.decide("q6", "drop", reason="not worth asking")
    one.decide("q7", "modify", fields={"question": "When?"})
    found = one.summary()
    assert (found.accepted, found.modified, found.dropped, found.reviewed) == (6, 1, 1, 8)
    assert not isinstance(found.error, Reason) and found.error.estimate == 0.25
    assert "25.0 % [7.1, 59.1] of the samples read" in str(found)


@pytest.mark.parametrize(
    ("text", "count", "order"),
    [
        ("1", 2, [[0], [1]]), ("2", 2, [[1], [0]]), ("=", 2, [[0, 1]]), ("1=2", 2, [[0, 1]]),
        ("2 > 1 = 3", 3, [[1], [0, 2]]), ("3>1", 3, [[2], [0], [1]]), ("=", 3, [[0, 1, 2]]),
        ("1=3", 3, [[0, 2], [1]]),
        ("12>1", 12, None), ("0>1", 2, None), ("3", 2, None), ("1", 3, None), ("1>1", 2, None),
        ("", 2, None), ("1>", 2, None), (">1", 2, None), ("1 2", 2, None), ("a", 2, None),
        ("1=2=3>1", 3, None), ("-1", 2, None), ("²", 2, None),
    ],
)  # fmt: skip
def test_orders_are_read_and_others_refused(text, count, order):
    if order is None:
        with pytest.raises(DataError, match="Rank "):
            parse_order(text, count)
    else:
        assert parse_order(text, count) == order


def test_comparisons_are_ranked_by_name_in_a_blind_order(tmp_path):
    one = compared_sheet(tmp_path)
    for subject, item in one.items.items():
        vote = one.decide(
            subject, "rank", fields={"order": "2" if len(item.names) == 2 else "3>1=2"}
        )
        assert vote.shown == item.names and vote.who == "ana"
        text = item.answers[item.names.index("name-ours")]
        assert text == "At night."
        if len(item.names) == 2:
            assert (vote.form, vote.value) == ("choice", item.names[1])
        else:
            first, second, third = item.names
            assert (vote.form, vote.value) == ("ranking", f"{third}>{first}={second}")
    assert len({item.names for item in one.items.values() if len(item.names) == 2}) == 2
    assert str(one.summary()) == "ana has compared 6 of 6: 2 with ties, 0 dropped."
    assert compared_sheet(tmp_path).items == one.items  # a new session shows the same order
    others = [compared_sheet(tmp_path, who).items["p2"].names for who in ("ben", "cleo", "dora")]
    assert len({one.items["p2"].names, *others}) > 1


def test_a_comparison_is_dropped_or_taken_back_and_nothing_else(tmp_path):
    one = compared_sheet(tmp_path)
    one.decide("p0", "drop", reason="no answer is acceptable")
    one.decide("p0", "rank", fields={"order": "="})
    (vote,) = current_votes(read_votes(tmp_path))
    assert (vote.form, vote.value) == ("choice", "tie")
    assert one.undo() == one.items["p0"] and current_votes(read_votes(tmp_path)) == []
    for action, fields, says in [
        ("accept", {}, "rank or drop"), ("rank", {}, "Rank the answers"), ("drop", {}, "a reason"),
        ("modify", {"question": "x"}, "rank or drop"), ("rank", {"order": 3}, "1 to 2 once"),
    ]:  # fmt: skip
        with pytest.raises(DataError, match=says):
            one.decide("p0", action, fields=fields)
    assert current_votes(read_votes(tmp_path)) == []
