"""Samples are cut into small pages that filter offline and show nothing as markup."""

import json
import re

import pytest

from groundup.evaluate.compare.comparison import AlignedSample, ComparedRun
from groundup.evaluate.compare.samples import (
    MAX_PAGE_SAMPLES,
    SampleSpool,
    _filter_mask,
    _render_sample,
    _sample_filters,
    _score_value,
    _target_text,
    write_sample_pages,
)
from tests.core.page.reading import Reading
from tests.evaluate.compare.reports import arithmetic, choices, row, task_report

RUNS = [ComparedRun("A", "base", "", "", ""), ComparedRun("B", "tuned", "", "", "")]


def names_of(bits: int, letters: str = "AB") -> set[str]:
    filters = _sample_filters(letters)
    return {each.name for place, each in enumerate(filters) if bits >> place & 1}


def pair(a: dict, b: dict, number: int = 0) -> AlignedSample:
    return AlignedSample(number, (a, b))


def test_filters_of_a_sample():
    right, wrong = row(0, {"acc": 1.0}), row(0, {"acc": 0.0})
    filters = _sample_filters("AB")
    assert names_of(_filter_mask(pair(right, right), "acc", "higher", filters)) == {"all"}
    assert names_of(_filter_mask(pair(right, wrong), "acc", "higher", filters)) == {
        "all", "differ", "A-B",
    }  # fmt: skip
    assert names_of(_filter_mask(pair(right, wrong), "acc", "lower", filters)) == {
        "all",
        "differ",
        "B-A",
    }
    failed = row(0, {}, undefined={"acc": {"code": "x", "message": ""}})
    assert names_of(_filter_mask(pair(right, failed), "acc", "higher", filters)) == {
        "all", "differ", "undefined",
    }  # fmt: skip
    unread = row(0, {"m,f": 0.0}, unparsed=["f"])
    assert names_of(_filter_mask(pair(unread, unread), "m,f", "higher", filters)) == {
        "all",
        "unparsed",
    }


def test_three_runs_have_filters_of_their_own():
    a, b, c = (row(0, {"acc": score}) for score in (1.0, 0.0, 2.0))
    bits = _filter_mask(AlignedSample(0, (a, b, c)), "acc", "higher", _sample_filters("ABC"))
    assert names_of(bits, "ABC") == {"all", "differ", "A-B", "C-A"}


@pytest.mark.parametrize(
    ("score", "value"),
    [(1, 1.0), ([6.0, 3.0], 2.0), ([1.0, 0.0], None), (None, None), (["a", "b"], None)],
)
def test_a_score_as_one_number(score, value):
    assert _score_value(score) == value


def test_the_target_is_shown_for_people():
    assert _target_text(row(0, {}, options=["yes", "no"], target=1)) == "no"
    assert _target_text(row(0, {}, target=["a", "b"])) == "a\nb"
    assert _target_text(row(0, {}, target=7)) == "7" and _target_text(row(0, {}, target=None)) == ""


def test_everything_shown_is_escaped():
    bad = "<script>alert(1)</script>\x00\x1b"
    answer = {"text": bad, "finish_reason": "length"}
    one = row(
        0, {"acc": 1.0}, [answer, {"code": bad, "message": bad}], prompt=bad, target=bad, group=bad,
        filtered={bad: bad}, unparsed=[bad], undefined={"acc_norm": {"code": bad, "message": bad}},
    )  # fmt: skip
    one["id"] = bad
    task = task_report(choices([True]))
    text = _render_sample(pair(one, one), [run._replace(name=bad) for run in RUNS], task, [1, 1])
    assert "<script" not in text and "\x00" not in text and "\x1b" not in text
    assert "<script>alert(1)</script>" in Reading(text).text
    assert "cut at the limit of tokens" in text


def test_options_show_what_was_chosen_and_long_texts_say_how_long_they_are():
    right = choices([True]).rows[0]
    text = Reading(
        _render_sample(pair(right, right), RUNS, task_report(choices([True])), [1, 1])
    ).text
    assert "▸ yes" in text and "-1.500" in text and "▸ no" not in text
    long = row(0, {}, [{"text": "w" * 100_000, "finish_reason": "stop"}] * 20)
    text = _render_sample(pair(long, long), RUNS, task_report(arithmetic([True])), [1])
    assert len(text) < 60_000 and "of 100,000 letters" in text and "and 12 more answers" in text


def spool(path, number: int, width: int = 10) -> SampleSpool:
    task = arithmetic([n % 7 != 0 for n in range(number)], "a/b <c>")
    other = arithmetic([n % 5 != 0 for n in range(number)])
    made = SampleSpool(open(path, "w+b"), task_report(task), RUNS)  # noqa: SIM115  closed by the test
    for place in range(number):
        rows = [each.rows[place] | {"prompt": "w" * width} for each in (task, other)]
        made.add(AlignedSample(place, tuple(rows)))
    return made


def test_pages_are_small_whole_and_know_of_each_other(tmp_path):
    made = spool(tmp_path / "spool", 1000)
    names = write_sample_pages(made, 0, tmp_path)
    assert len(names) == 1000 // MAX_PAGE_SAMPLES and names[0] == "01-a-b-c-1.html"
    seen: list[str] = []
    for number, name in enumerate(names):
        text = (tmp_path / name).read_text()
        assert len(text.encode()) < 1_000_000
        read = Reading(text)
        seen += [each for each in read.values("id") if re.fullmatch(r"s\d+", each)]
        index = json.loads(read.values("data-index")[0])
        assert index["names"] == names and read.values("data-page") == [str(number)]
        assert read.values("src") == []
    assert seen == [f"s{n + 1}" for n in range(1000)]
    counts = dict(zip(index["filters"], map(sum, index["counts"][0]), strict=True))
    assert counts["all"] == 1000
    assert counts["A-B"] == sum(n % 7 != 0 and n % 5 == 0 for n in range(1000))
    assert counts["B-A"] == sum(n % 7 == 0 and n % 5 != 0 for n in range(1000))
    assert made.href(names, 250) == "samples/01-a-b-c-3.html#s251"
    made.file.close()


def test_long_samples_make_more_pages_not_larger_ones(tmp_path):
    made = spool(tmp_path / "spool", 150, 8000)
    names = write_sample_pages(made, 0, tmp_path)
    assert len(names) == 2
    assert max((tmp_path / name).stat().st_size for name in names) < 1_000_000
    made.file.close()


def test_a_task_without_samples_has_a_page(tmp_path):
    made = spool(tmp_path / "spool", 0)
    (name,) = write_sample_pages(made, 4, tmp_path)
    assert "no samples" in (tmp_path / name).read_text()
    made.file.close()
