"""The page in a real browser: keys and mouse decide, nothing is lost, nothing shown can run."""

import json

import pytest

from groundup.core import Message, Sample
from groundup.measure.judgement import current_votes, read_votes
from groundup.measure.review.page import REVIEW_SHORTCUTS, review_page
from groundup.measure.review.server import ReviewServer
from groundup.measure.review.sheet import ReviewSheet, sample_item
from tests.chromium import Chromium, needs_chromium
from tests.core.page.reading import Reading
from tests.measure.review.sheets import items, pairs
from tests.measure.review.test_server import serving

SHOWN = "document.querySelector('#item:not([hidden]) .text')"


def done(number: int) -> str:
    return f"document.querySelector('#bar').value == {number}"


def test_the_page_holds_its_parts_and_loads_nothing():
    read = Reading(review_page("lamps <script>"))
    assert "Review lamps <script>" in read.text
    assert {"item", "decide", "reason", "alert", "bar", "who"} <= set(read.values("id"))
    assert read.values("src") == []
    text = " ".join(read.text.split())
    assert all(meaning in text for _, meaning in REVIEW_SHORTCUTS)


@pytest.fixture(scope="module")
def browser():
    with Chromium() as running:
        yield running


@needs_chromium
def test_five_samples_by_keyboard_and_one_by_mouse(tmp_path, browser):
    sheet = ReviewSheet(tmp_path, items(), "ana", "salt")
    order = list(sheet.items)
    make = lambda who: ReviewSheet(tmp_path, items(), who, "salt")  # noqa: E731
    with serving(ReviewServer("lamps", make, "ana")) as server:
        browser.open(server.url)
        browser.wait(SHOWN)
        assert "When is lamp" in browser.text("#conversation")
        assert browser.text("mark") == "at night" and "house.md" in browser.text("#source")
        browser.press("a")
        browser.wait(done(1))
        browser.press("d")
        browser.type("it is wrong")
        browser.press("Enter")
        browser.wait(done(2))
        browser.press("d")
        browser.press("3")
        browser.wait(done(3))
        browser.press("m")
        browser.js("document.querySelector('#mending textarea').value = ''")
        browser.type("When? a d s u")
        browser.press("Enter", ctrl=True)
        browser.wait(done(4))
        browser.press("a")
        browser.wait(done(5))
        browser.press("u")
        browser.wait(done(4))
        browser.press("s")
        browser.wait("document.querySelector('#told').textContent.startsWith('Skipped')")
        browser.press("r")
        browser.type("a good one")
        browser.press("Enter")
        browser.press("a")
        browser.wait(done(5))
        browser.click("#buttons [data-action=accept]")
        browser.wait(done(6))
        found = {vote.subject: vote for vote in current_votes(read_votes(tmp_path))}
        assert [found[s].value for s in order[:3]] == [
            "accept", "drop", "drop",
        ]  # fmt: skip
        assert found[order[1]].reason == "it is wrong"
        assert found[order[2]].reason == "the source does not say it"
        assert json.loads(found[order[3]].value) == {"question": "When? a d s u"}
        assert order[4] not in found and found[order[5]].reason == "a good one"
        assert found[order[6]].value == "accept" and len(found) == 6
        browser.open(server.url)
        browser.wait(done(6))
        browser.press("a")
        browser.wait(done(7))
        browser.press("a")
        browser.wait("document.title == 'Reviewed'")
        assert "ana has reviewed 8 of 8" in browser.text("#summary")
    assert browser.problems == []


@needs_chromium
def test_two_reviewers_on_one_server(tmp_path, browser):
    make = lambda who: ReviewSheet(tmp_path, items(), who, "salt")  # noqa: E731
    with serving(ReviewServer("lamps", make, "ana")) as server:
        browser.open(server.url + "?who=ana")
        browser.wait(SHOWN)
        browser.press("a")
        browser.wait(done(1))
        browser.click("#who")
        browser.js("document.querySelector('#who').value = ''")
        browser.type("ben")
        browser.press("Enter")
        browser.wait(done(0))
        browser.press("a")
        browser.wait(done(1))
    assert [vote.who for vote in read_votes(tmp_path)] == ["ana", "ben"]


@needs_chromium
def test_a_choice_by_keyboard_is_blind_and_recorded_by_name(tmp_path, browser):
    make = lambda who: ReviewSheet(tmp_path, pairs(), who)  # noqa: E731
    with serving(ReviewServer("pairs", make, "ana")) as server:
        browser.open(server.url)
        browser.wait(SHOWN)
        for number in range(1, 5):
            assert "ours" not in browser.js("document.documentElement.outerHTML")
            texts = browser.js("[...document.querySelectorAll('#answers .text')].map(n => "
                               "n.textContent)")  # fmt: skip
            browser.press(str(1 + texts.index("At night.")) if number < 4 else "=")
            browser.wait(done(number))
    values = [vote.value for vote in current_votes(read_votes(tmp_path))]
    assert values == ["ours", "ours", "ours", "tie"]


@needs_chromium
def test_when_the_server_is_gone_the_page_says_so_and_goes_on_when_it_is_back(tmp_path, browser):
    make = lambda who: ReviewSheet(tmp_path, items(), who, "salt")  # noqa: E731
    first = ReviewServer("lamps", make, "ana")
    with serving(first):
        browser.open(first.url)
        browser.wait(SHOWN)
    question = browser.text("#conversation")
    browser.press("a")
    browser.wait("!document.querySelector('#alert').hidden")
    assert "cannot be reached" in browser.text("#alert")
    assert browser.text("#conversation") == question and read_votes(tmp_path) == []
    back = ReviewServer("lamps", make, "ana", first.server_port)
    back.secret = first.secret
    with serving(back):
        browser.wait(done(1))
        browser.wait("document.querySelector('#alert').hidden")
    assert len(read_votes(tmp_path)) == 1


@needs_chromium
def test_nothing_in_a_sample_runs(tmp_path, browser):
    bad = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    metadata = {"passage": bad, "span": [3, 9], "source": bad, "kind": bad}
    one = [sample_item(Sample(bad, (Message("user", bad),), (bad,), "", metadata))]
    with serving(ReviewServer(bad, lambda who: ReviewSheet(tmp_path, one, who), "ana")) as server:
        browser.open(server.url)
        browser.wait(SHOWN)
        assert browser.js("document.querySelectorAll('img, script').length") == 1
        browser.press("m")
        assert browser.js("document.querySelector('#mending textarea').value") == bad
        assert browser.js("document.title") == "1 of 1"


@needs_chromium
def test_a_sample_without_an_answer_can_get_one_or_stay_without(tmp_path, browser):
    made = [sample_item(Sample(name, (Message("user", "Who won?"),))) for name in "ab"]
    with serving(ReviewServer("x", lambda who: ReviewSheet(tmp_path, made, who), "ana")) as server:
        browser.open(server.url)
        browser.wait(SHOWN)
        for number, text in enumerate((" In 2031?", "")):
            browser.press("m")
            browser.type(text)
            browser.click("#mending label:nth-of-type(2) textarea")
            browser.type("" if text else "Nobody.")
            browser.click("#save")
            browser.wait(done(number + 1))
    values = [json.loads(vote.value) for vote in current_votes(read_votes(tmp_path))]
    assert sorted(map(str, values)) == [
        "{'question': 'Who won? In 2031?'}", "{'references': ['Nobody.']}",
    ]  # fmt: skip


@needs_chromium
@pytest.mark.parametrize("width", [360, 1920])
def test_the_page_fits_its_window(tmp_path, browser, width):
    long = "w" * 300
    one = [sample_item(Sample("1", (Message("user", long),), (long,), "", {"passage": long * 20}))]
    with serving(ReviewServer(long, lambda who: ReviewSheet(tmp_path, one, who), "ana")) as server:
        browser.open(server.url, width, scheme="dark")
        browser.wait(SHOWN)
        assert not browser.is_too_wide()
        browser.press("m")
        assert not browser.is_too_wide()
