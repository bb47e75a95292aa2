"""Samples are cut into small pages that filter offline and show nothing as markup."""

import json
import re
from xml.etree import ElementTree

import pytest

from groundup.evaluate.compare.comparison import AlignedSample, ComparedRun
from groundup.evaluate.compare.formats import (
    comparison_to_json,
    comparison_to_junit,
    comparison_to_markdown,
    comparison_to_text,
)
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
from groundup.evaluate.compare.verb import compare
from tests.chromium import Chromium, needs_chromium
from tests.core.page.reading import Reading
from tests.evaluate.compare.reports import (
    arithmetic,
    choices,
    make_report,
    rolling,
    row,
    task_report,
)

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


EVIL = 'a|b <script>"&\x1b[2J\x00 ]]>'


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    hard = [n / 200 for n in range(200)]
    a = [arithmetic(h < 0.6 for h in hard), choices([True, None] * 20), rolling([100.0] * 9)]
    b = [arithmetic(h < 0.4 for h in hard), choices([True, True] * 20)]
    evil = arithmetic([True, False] * 9, "task|<b>")
    paths = [
        make_report(folder / "a", "base", [*a, evil]).path,
        make_report(folder / "b", EVIL, [*b, evil]).path,
    ]
    return compare(paths).comparison


def test_text_fits_80_columns(comparison):
    lines = comparison_to_text(comparison).splitlines()
    assert "A  base" in lines
    worse = next(line for line in lines if "worse" in line)
    assert worse.startswith("  B  0.40 [") and "−0.20 [" in worse
    assert all(len(line) <= 80 for line in lines if "not compared" not in line)
    assert "Holm over 4 comparisons" in " ".join(lines)


def test_json_has_every_number_or_its_reason(comparison):
    found = json.loads(json.dumps(comparison_to_json(comparison), allow_nan=False))
    tasks = {task["name"]: task for task in found["tasks"]}
    versus = tasks["sums"]["measures"][0]["versus"][0]
    assert versus["verdict"] == "worse" and versus["p"] < 0.05
    assert versus["difference"]["interval"]["estimate"] == pytest.approx(-0.2)
    missing = tasks["held-out"]["measures"][0]
    assert missing["cells"][1] is None
    assert missing["versus"][0]["undefined"]["code"] == "not_measured"
    reasons = tasks["choose"]["measures"][0]["cells"][0]["reasons"]
    assert reasons == {"timeout": 20}


def test_markdown_keeps_its_columns(comparison):
    lines = [
        line for line in comparison_to_markdown(comparison).splitlines() if line.startswith("|")
    ]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "<script>" not in comparison_to_markdown(
        comparison
    ) and "<b>" not in comparison_to_markdown(comparison)


def test_junit_fails_where_the_run_is_worse_and_skips_what_does_not_compare(comparison):
    root = ElementTree.fromstring(comparison_to_junit(comparison))
    suites = {suite.get("name"): suite for suite in root}
    assert suites["sums"].get("failures") == "1"
    (case,) = suites["sums"]
    failure = case.find("failure")
    assert failure is not None and "difference −0.20" in (failure.get("message") or "")
    skipped = suites["held-out"][0].find("skipped")
    assert skipped is not None and "no such task" in (skipped.get("message") or "")
    assert suites["choose"].get("tests") == "2" and "task|<b>" in suites


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A comparison of two runs, written."""
    place = tmp_path_factory.mktemp("compared")
    hard = [n / 350 for n in range(350)]
    runs = {
        "base <b>": (arithmetic(h < 0.9 for h in hard), choices([True] * 60)),
        "tuned": (arithmetic(h < 0.7 for h in hard), choices([True] * 59 + [None])),
    }
    paths = [
        make_report(place / str(number), name, [*tasks, rolling([99.0 - number] * 9)]).path
        for number, (name, tasks) in enumerate(runs.items())
    ]
    found = compare(paths, out=place / "out")
    assert found.page == place / "out" / "index.html"
    return place / "out"


@pytest.fixture(scope="module")
def browser():
    with Chromium() as running:
        yield running


def test_every_number_leads_to_pages_that_exist(folder):
    read = Reading((folder / "index.html").read_text())
    links = [link for link in read.values("href") if not link.startswith("#")]
    assert len(links) > 10
    assert {link.partition("#")[0] for link in links} <= {
        f"samples/{path.name}" for path in (folder / "samples").iterdir()
    }
    assert "tuned against base <b>" in read.text and "timeout" in read.text
    assert "I would rather not say." in read.text
    assert (folder / "index.html").stat().st_size < 1_000_000


@needs_chromium
def test_a_number_is_clicked_and_its_samples_are_shown(folder, browser):
    browser.open(f"file://{folder}/index.html")
    browser.click("a[href*='show=differ']")
    browser.wait("document.querySelector('#controls:not([hidden])')")
    # The first sample that differs is the 246th: the link leads to the third page.
    browser.wait("document.title == 'sums' && location.pathname.endsWith('sums-3.html')")
    shown = "[...document.querySelectorAll('.sample')].filter(n => !n.hidden)"
    browser.wait(f"{shown}[0].id == 's246'")
    assert browser.text("[data-filter=differ]") == "differ 70"
    assert "Page 1 of 2" in browser.text("#at")
    browser.click("#after")
    browser.wait("location.pathname.endsWith('sums-4.html')")
    browser.wait(f"{shown}.length == 15")
    browser.press("f")
    browser.wait("document.querySelector('[data-filter=\"A-B\"]').ariaPressed == 'true'")
    assert browser.js(f"{shown}.length") == 15
    browser.click("[data-filter=all]")
    browser.wait(f"{shown}.length == 50")
    browser.press("ArrowLeft")
    browser.wait("location.pathname.endsWith('sums-3.html')")
    assert browser.problems == []


@needs_chromium
def test_undefined_and_unread_samples_are_found(folder, browser):
    browser.open(f"file://{folder}/index.html")
    browser.click("a[href*='show=undefined']")
    browser.wait("document.title == 'choose'")
    shown = "[...document.querySelectorAll('.sample')].filter(n => !n.hidden)"
    browser.wait(f"{shown}.length == 1")
    assert "timeout: no answer in 60 s" in browser.js(f"{shown}[0].innerText")
    browser.js("document.querySelector('#measure').value = '1'")
    browser.js("document.querySelector('#measure').dispatchEvent(new Event('change'))")
    browser.wait("location.hash.includes('acc_norm')")
    browser.open(f"file://{folder}/index.html")
    browser.click("a[href*='.html#s2']")
    browser.wait("document.querySelector('.sample:target')")
    assert "found no answer" in browser.text(".sample:target")


@needs_chromium
@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_their_window(folder, browser, width, scheme):
    for name in ("index.html", "samples/01-sums-1.html", "samples/02-choose-1.html"):
        browser.open(f"file://{folder}/{name}", width, scheme=scheme)
        assert not browser.is_too_wide(), name
    assert browser.problems == []
