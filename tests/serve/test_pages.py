"""The pages in a browser: what is asked is answered, what is marked is right, no text can run."""

import importlib.util
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from groundup.retrieve import index
from tests.serve.servers import Serving, serving, write_chat_model

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Page, expect = sync_api.Page, sync_api.expect
expect.set_options(timeout=30_000)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
SECONDS = 30.0

PAYLOAD = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
NAME = "<img src=x onerror=window.hacked=1> & 'x' \"y\".md"
LEASE = "The lease of the hall was renewed on 3 May 2024 for five years."
DOCUMENTS = {
    "lease.md": f"# Lease\n\n{LEASE}\n\n## Can it be renewed again?\n\nIt can be renewed twice.\n"
    "\n## Deposit\n\nThe deposit is 1,200 euros.\n",
    "fees.html": "<h1>Fees &amp; hours</h1><p>A visit costs &frac14; of a crown \U0001f3a1 "
    "a day.</p><p>The hall opens at nine o&rsquo;clock.</p>",
    "wide.txt": "The register has a name of " + "x" * 400 + " letters.\n",
    NAME: f"# {PAYLOAD}\n\nThe warden of the hall is {PAYLOAD} Maud.\n",
}


@pytest.fixture(scope="module")
def documents(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    filler = "\n\n".join(f"Line {number} speaks of other things." for number in range(400))
    (folder / "long.md").write_text(f"# Long\n\n{filler}\n\nThe ferryman is Ansel.\n\n{filler}\n")
    index(folder, folder.parent / "index")
    return folder.parent / "index"


@pytest.fixture(scope="module")
def quotes(documents) -> Iterator[Serving]:
    """A server of an index without a model."""
    with serving(None, "--index", str(documents), name="hall") as server:
        yield server


@pytest.fixture(scope="module")
def talks(documents, tmp_path_factory) -> Iterator[Serving]:
    """A server of a model and an index."""
    path = write_chat_model(tmp_path_factory.mktemp("model") / "model")
    with serving(path, "--index", str(documents)) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


class Visit:
    """A page, and what went wrong in it."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}} | options)
        self.context.set_default_timeout(1000 * SECONDS)
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.hosts = set[str]()
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._note)
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.on("dialog", lambda dialog: self.problems.append(dialog.message))

    def _note(self, message: Any) -> None:
        if message.type == "error" and "the server responded with a status" not in message.text:
            self.problems.append(message.text)

    def check(self) -> None:
        """Nothing ran that came with a text, nothing went wrong, nobody else was asked."""
        assert not self.page.evaluate("window.hacked")
        assert not self.problems and len(self.hosts) <= 1


@pytest.fixture
def visit(browser) -> Iterator[Visit]:
    opened = Visit(browser)
    yield opened
    opened.check()
    opened.context.close()


@pytest.fixture
def page(visit) -> Page:
    return visit.page


def open_chat(page: Page, server: Serving, **settings: str) -> None:
    """The chat with some settings; without `grounded` the answers are the model's own."""
    values = json.dumps({"grounded": "no", "temperature": "0", "max_tokens": "40"} | settings)
    page.goto(f"{server.url}/chat")
    page.evaluate("values => localStorage.setItem('groundup-settings', values)", values)
    page.reload()
    page.locator("#empty-title").wait_for()


def ask(page: Page, text: str) -> None:
    page.locator("#ask").fill(text)
    page.locator("#ask").press("Enter")


def answered(page: Page) -> Any:
    """The last answer, once it is complete."""
    expect(page.locator("#send")).to_be_visible()
    return page.locator("article.assistant").last


STOP_ONCE_BEGUN = """by => new Promise(done => {
  const timer = setInterval(() => {
    if (!document.querySelector('.assistant .measures')?.textContent.includes('tokens/s')) return;
    clearInterval(timer);
    if (by === 'button') document.querySelector('#stop').click();
    else document.activeElement.dispatchEvent(
      new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}));
    done();
  }, 5);
})"""
"""In the page itself: a fast engine ends its answer before a click from outside arrives."""


def until(page: Page, condition: str) -> None:
    """Wait for an expression; the pages' policy forbids Playwright's own way, which is eval."""
    end = time.monotonic() + SECONDS
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(20)


def running(server: Serving) -> int:
    """Requests that the engine computes."""
    text = httpx.get(f"{server.url}/metrics", timeout=SECONDS).text
    return int(float(re.search(r"(?m)^vllm:num_requests_running\S* (\S+)", text)[1]))


def test_an_answer_streams_and_says_how_fast_it_was(page, talks):
    open_chat(page, talks, max_tokens="400")
    page.evaluate(
        "window.lengths = new Set(); new MutationObserver(() => lengths.add("
        "document.querySelector('.assistant .words')?.textContent.length))"
        ".observe(document.querySelector('#talk'), {childList: true, subtree: true})"
    )
    with page.expect_request("**/v1/chat/completions") as sent:
        ask(page, "Hello, who are you?")
    answer = answered(page)
    body = sent.value.post_data_json
    assert body["messages"] == [{"role": "user", "content": "Hello, who are you?"}]
    assert (body["temperature"], body["max_tokens"], body["grounded"]) == (0, 400, False)
    expect(answer.locator(".measures")).to_contain_text(
        re.compile(r"400 tokens · [\d.]+ tokens/s · first after [\d.]+ s")
    )
    expect(answer.locator(".id")).to_have_text(re.compile("chatcmpl-"))
    expect(answer.locator(".notes")).to_contain_text("reached the maximum of tokens")
    assert page.evaluate("lengths.size") > 3, "it came at once"
    assert page.locator("#ask").evaluate("field => field === document.activeElement")


def test_a_reader_who_scrolled_away_is_left_there(page, talks):
    open_chat(page, talks, max_tokens="2500")
    page.set_viewport_size({"width": 700, "height": 300})
    ask(page, "Tell me much\n" * 30)
    words = page.locator(".assistant .words")
    expect(words).not_to_have_text(re.compile("Thinking|^$"))
    at_end = "innerHeight + scrollY >= document.documentElement.scrollHeight - 16"
    until(page, f"{at_end} && document.querySelector('.assistant').offsetHeight > 300")
    page.mouse.wheel(0, -400)
    until(page, f"!({at_end})")
    place, top = page.evaluate("[scrollY, document.querySelector('.user').offsetTop]")
    length = len(words.inner_text())
    until(page, f"document.querySelector('.assistant .words').textContent.length > {length}")
    until(page, f"document.querySelector('.assistant .words').textContent.length > {length + 200}")
    assert page.evaluate("[scrollY, document.querySelector('.user').offsetTop]") == [place, top]
    page.locator("#to-end").click()
    until(page, at_end)
    page.keyboard.press("Escape")  # a fast engine may have ended it
    answered(page)
    expect(page.locator("#to-end")).to_be_hidden()


@pytest.mark.parametrize("by", ["button", "key"])
def test_stop_keeps_what_came_and_frees_the_engine(page, talks, by):
    open_chat(page, talks, max_tokens="3500")
    ask(page, "Never end")
    page.evaluate(STOP_ONCE_BEGUN, by)
    answer = answered(page)
    expect(answer.locator(".notes")).to_have_text("Stopped.")
    text = answer.locator(".words").inner_text()
    assert text and text != "Thinking …"
    end = time.monotonic() + SECONDS
    while running(talks):
        assert time.monotonic() < end
    ask(page, "And now?")
    expect(page.locator(".assistant")).to_have_count(2)
    page.keyboard.press("Escape")
    answered(page)


def test_asked_again_and_edited_there_are_branches_that_stay(page, talks):
    open_chat(page, talks, temperature="1", max_tokens="8")
    ask(page, "First?")
    answered(page).get_by_role("button", name="Again").click()
    answer = answered(page)
    expect(answer.locator(".siblings")).to_contain_text("2 of 2")
    second = answer.locator(".words").inner_text()
    answer.get_by_role("button", name="Answer before").click()
    expect(page.locator(".assistant .siblings")).to_contain_text("1 of 2")
    page.get_by_role("button", name="Answer after").click()
    expect(page.locator(".assistant .words")).to_have_text(second, use_inner_text=True)
    ask(page, "Second?")
    answered(page)
    page.get_by_role("button", name="Edit").first.click()
    field = page.get_by_label("Edit your question")
    assert field.input_value() == "First?"
    field.fill("Other?")
    with page.expect_request("**/v1/chat/completions") as sent:
        field.press("Enter")
    assert [each["content"] for each in sent.value.post_data_json["messages"]] == ["Other?"]
    answered(page)
    expect(page.locator(".user .words")).to_have_text(["Other?"])
    page.reload()  # a conversation outlives it
    expect(page.locator(".user .words")).to_have_text(["Other?"])
    page.get_by_role("button", name="Question before").click()
    expect(page.locator(".user .words")).to_have_text(["First?", "Second?"])
    page.locator("#new").click()
    expect(page.locator("article")).to_have_count(0)
    expect(page.locator("#empty-title")).to_have_text("Ask these documents")


def test_a_citation_opens_its_passage_beside_the_answer(page, quotes):
    page.goto(f"{quotes.url}/chat")
    page.get_by_role("button", name="Can it be renewed again?").wait_for()
    ask(page, "When was the lease of the hall renewed?")
    answer = answered(page)
    expect(answer.locator(".claim").first).to_contain_text(LEASE)
    expect(answer.locator(".sources")).to_contain_text("lease.md:3")
    answer.get_by_role("button", name="Source 1: lease.md:3").click()
    source = page.locator("#source")
    expect(source.locator("mark")).to_have_text(LEASE)
    expect(source.locator("mark")).to_be_in_viewport()
    expect(source.locator("#source-path")).to_have_text("Lease")
    expect(answer.locator(".words")).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(source).to_be_hidden()
    expect(answer.get_by_role("button", name="Source 1: lease.md:3")).to_be_focused()
    page.keyboard.press("Enter")
    source.get_by_role("link", name="Open the whole document").click()
    page.wait_for_url("**/document?*")
    expect(page.locator("#text mark")).to_have_text(LEASE)
    page.go_back()
    expect(page.locator(".user .words")).to_have_text("When was the lease of the hall renewed?")


def test_quotes_of_entities_and_wide_characters_are_marked_where_they_are(page, quotes):
    page.goto(f"{quotes.url}/chat")
    page.locator("#empty-title").wait_for()
    ask(page, "How much is a visit?")
    answered(page).locator(".cite").first.click()
    expect(page.locator("#source mark").first).to_have_text("A visit costs ¼ of a crown 🎡 a day.")
    ask(page, "At what time does the hall open?")
    answer = answered(page)
    expect(answer.locator(".claim").first).to_contain_text("The hall opens at nine o’clock.")
    answer.locator(".cite").first.click()
    expect(page.locator("#source mark")).to_have_text("The hall opens at nine o’clock.")


def test_a_written_answer_has_its_numbers_behind_its_claims(page, quotes):
    claims = ["\U0001f3a1 It was **renewed** \ue000\ue101 in May.", "It can be renewed twice."]
    text, url = " ".join(claims), "/document?path=lease.md&start={}&end={}"
    places = [
        (0, len(claims[0]), LEASE, url.format(9, 72)),
        (len(claims[0]) + 1, len(text), "It can be renewed twice.", url.format(103, 127)),
    ]
    citations = [
        {"start_index": start, "end_index": end, "title": "lease.md:3", "url": at, "quote": quote}
        for start, end, quote, at in places
    ]
    leaf = {"children": [], "chosen": 0}
    answer = leaf | {"role": "assistant", "text": text, "annotations": citations, "grounded": True}
    question = leaf | {"role": "user", "text": "When?", "children": [answer]}
    page.goto(f"{quotes.url}/chat")
    page.locator("#empty-title").wait_for()
    stored = json.dumps(leaf | {"children": [question]})
    page.evaluate("text => sessionStorage.setItem('groundup-chat', text)", stored)
    page.reload()
    words = page.locator(".assistant .words")
    shown = "\U0001f3a1 It was renewed \ufffd\ufffd in May.1 It can be renewed twice.2"
    expect(words).to_have_text(shown)
    expect(words.locator("strong")).to_have_text("renewed")
    words.locator(".cite").nth(1).click()
    expect(page.locator("#source mark")).to_have_text("It can be renewed twice.")


def test_a_refusal_says_calmly_what_is_nearest(page, quotes):
    page.goto(f"{quotes.url}/chat")
    page.locator("#empty-title").wait_for()
    ask(page, "What colour has the deposit of the elephant?")
    refusal = answered(page).locator(".refusal")
    expect(refusal).to_contain_text("Not in these documents.")
    expect(refusal).to_contain_text("elephant")
    expect(refusal.locator(".nearest")).to_contain_text("The deposit is 1,200 euros.")
    refusal.get_by_role("button", name=re.compile("lease.md")).click()
    expect(page.locator("#source mark")).to_contain_text("The deposit is 1,200 euros.")
    link = refusal.get_by_role("link", name="Search the documents for it")
    page.keyboard.press("Escape")
    link.click()
    expect(page.locator("#query")).to_have_value("What colour has the deposit of the elephant?")
    expect(page.locator(".passage mark").first).to_be_visible()


def test_a_search_marks_the_words_in_any_form_below_the_answer(page, quotes):
    page.goto(quotes.url)
    expect(page).to_have_title("Search · groundup")
    page.get_by_role("button", name="Can it be renewed again?").wait_for()
    page.keyboard.type("Renewals of the lease")
    page.keyboard.press("Enter")
    first = page.locator(".passage").first
    expect(first.locator("h3")).to_have_text(re.compile("lease.md:"))
    marks = set(page.locator(".passage mark").all_inner_texts())
    assert {"renewed", "Lease", "lease"} <= marks <= {"renewed", "Lease", "lease", "Renewed"}
    expect(page.locator("main > section").first).to_have_class(re.compile("answer"))
    expect(page.locator(".answer")).to_contain_text(LEASE)
    assert page.evaluate("location.search") == "?q=Renewals+of+the+lease"
    first.get_by_role("link").click()
    page.wait_for_url("**/document?*")
    page.locator("#text mark").first.wait_for()
    assert {"renewed", "lease"} <= set(page.locator("#text mark").all_inner_texts())
    page.go_back()
    expect(page.locator("#query")).to_have_value("Renewals of the lease")
    page.locator("#query").fill("zzqx")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_contain_text("No passage has any of these words")
    page.go_back()
    expect(page.locator(".passage").first).to_be_visible()


def test_a_mistyped_search_is_made_for_the_word_that_is_meant(page, quotes):
    page.goto(f"{quotes.url}/search?q=ferrymann")
    expect(page.locator("#state")).to_contain_text("for “ferryman”")
    expect(page.locator(".passage mark").first).to_have_text("ferryman")


def test_a_document_opens_at_the_mark(page, quotes):
    page.goto(f"{quotes.url}/search?q=ferryman")
    page.locator(".answer a").click()
    page.wait_for_url("**/document?*")
    mark = page.locator("#text mark")
    expect(mark).to_have_text("The ferryman is Ansel.")
    expect(mark).to_be_in_viewport()
    assert page.evaluate("scrollY") > 2000
    page.keyboard.press("Home")
    until(page, "scrollY === 0")
    page.keyboard.press("m")
    expect(mark).to_be_in_viewport()
    page.goto(f"{quotes.url}/document?path=nowhere.md")
    expect(page.get_by_role("alert")).to_contain_text("The index has no such document.")


def test_the_keyboard_is_enough(page, quotes):
    page.goto(f"{quotes.url}/chat")
    page.locator("#empty-title").wait_for()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_hidden()
    page.keyboard.type("Who is the ferryman?")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("Please")
    page.keyboard.press("Enter")
    answered(page)
    expect(page.locator(".user .words")).to_have_text("Who is the ferryman?\nPlease")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("Edit your question")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("What is the deposit?")
    page.keyboard.press("Enter")
    expect(answered(page).locator(".claim").first).to_contain_text("1,200 euros")
    page.keyboard.press("Escape")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.keyboard.press("t")
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.keyboard.press(",")
    expect(page.locator("#settings")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#settings")).to_be_hidden()
    page.keyboard.press("/")
    expect(page.locator("#ask")).to_be_focused()
    for _ in range(40):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.className") == "cite":
            break
    page.keyboard.press("Enter")
    expect(page.locator("#source mark")).to_contain_text("1,200 euros")
    page.goto(f"{quotes.url}/search?q=hall")
    page.locator(".passage").first.wait_for()
    page.keyboard.press("Tab")
    page.locator("#query").evaluate("field => field.blur()")
    page.keyboard.press("n")
    page.keyboard.press("n")
    focused = page.locator("section.passage:focus")
    expect(focused).to_have_count(1)
    page.keyboard.press("Enter")
    page.wait_for_url("**/document?*")


WIDTHS = (360, 768, 1440)


def is_too_wide(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def faults(page: Page) -> list[str]:
    """What axe finds that is serious."""
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def axe_script() -> str:
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        pytest.skip("axe-playwright-python, which carries axe-core, is not installed")
    return Path(spec.origin).with_name("axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_and_is_accessible(browser, quotes, scheme):
    script = axe_script()
    visit = Visit(browser, color_scheme=scheme, bypass_csp=True)
    page = visit.page

    def check(what: str) -> None:
        for width in WIDTHS if scheme == "light" else WIDTHS[::-1]:
            page.set_viewport_size({"width": width, "height": 800})
            assert not is_too_wide(page), (what, width)
        if page.evaluate("!window.axe"):
            page.evaluate(script)
        assert not faults(page), (what, width)

    page.goto(f"{quotes.url}/chat")
    page.get_by_role("button", name="Can it be renewed again?").click()
    answered(page)
    for text in ("How many letters has the register?", "What colour has the elephant?"):
        ask(page, text)
        answered(page)
    check("chat")
    page.locator(".cite").first.click()
    page.locator("#source mark").wait_for()
    check("passage")
    page.keyboard.press("Escape")
    page.locator("#settings-open").click()
    check("settings")
    page.keyboard.press("Escape")
    page.goto(f"{quotes.url}/search?q=hall+register")
    page.locator(".passage").first.wait_for()
    check("search")
    page.locator(".passage a").first.click()
    page.locator("#text mark").first.wait_for()
    check("document")
    visit.check()
    visit.context.close()


def test_nothing_of_a_document_or_its_name_can_run(page, quotes):
    page.goto(f"{quotes.url}/chat")
    page.locator("#empty-title").wait_for()
    ask(page, "Who is the warden of the hall?")
    answer = answered(page)
    expect(answer.locator(".claim").first).to_contain_text(PAYLOAD)
    expect(answer.locator(".sources")).to_contain_text(NAME)
    answer.locator(".cite").first.click()
    expect(page.locator("#source mark")).to_contain_text(PAYLOAD)
    expect(page.locator("#source-title")).to_contain_text(NAME)
    page.goto(f"{quotes.url}/search?q=warden")
    passage = page.locator(".passage").first
    expect(passage.locator("h3")).to_contain_text(NAME)
    expect(passage.locator(".text")).to_contain_text(PAYLOAD)
    passage.locator("a").click()
    expect(page.locator("#text")).to_contain_text(PAYLOAD)
    expect(page.locator("#name")).to_have_text(NAME)
    for path in ("/search?q=", "/document?path="):
        page.goto(f"{quotes.url}{path}{PAYLOAD}")
        page.wait_for_load_state("networkidle")
        assert not page.evaluate("document.querySelectorAll('main img, main script').length")


MARKDOWN = f"""# A title of {PAYLOAD}

Some **bold text** and `code <b>` of
two lines, [a link](javascript:alert(1)).

- one
- two with `x`
  1. inner
  2. **{PAYLOAD}**

3. third

```python
def f(): return "<b>"

# no title
```
Last {PAYLOAD}"""


def test_markdown_becomes_elements_and_never_html(page, quotes):
    page.goto(f"{quotes.url}/chat")
    shown = page.evaluate(
        """async text => {
            const { showMarkdown } = await import("/static/text.js");
            const whole = document.createElement("div"), grown = document.createElement("div");
            document.querySelector("main").append(whole, grown);
            showMarkdown(whole, text);
            let kept = null, isKept = true;
            for (let end = 0; end <= text.length; end += 7) {
                showMarkdown(grown, text.slice(0, end));
                if (end > 120) { kept ??= grown.firstChild; isKept &&= kept === grown.firstChild; }
            }
            showMarkdown(grown, text);
            const count = name => whole.querySelectorAll(name).length;
            return {
                same: whole.innerHTML === grown.innerHTML, isKept,
                names: [...new Set([...whole.querySelectorAll("*")].map(each => each.tagName))],
                items: count("li"), inner: count("li ol > li"),
                start: whole.querySelector(":scope > ol").start,
                code: whole.querySelector("pre").textContent,
                bold: [...whole.querySelectorAll("strong")].map(each => each.textContent),
            };
        }""",
        MARKDOWN,
    )
    assert shown.pop("same") and shown.pop("isKept")
    names = {"P", "STRONG", "CODE", "UL", "LI", "OL", "DIV", "SPAN", "BUTTON", "PRE"}
    assert set(shown.pop("names")) == names
    assert shown == {
        "items": 5, "inner": 2, "start": 3, "code": 'def f(): return "<b>"\n\n# no title',
        "bold": ["bold text", PAYLOAD],
    }  # fmt: skip


def test_an_error_is_a_sentence_and_can_be_tried_again(visit, page, talks):
    open_chat(page, talks)
    visit.context.set_offline(True)
    ask(page, "Hello?")
    answer = answered(page)
    expect(answer.get_by_role("alert")).to_contain_text("The server does not answer.")
    visit.context.set_offline(False)
    visit.problems.clear()
    answer.get_by_role("button", name="Try again").click()
    answer = answered(page)
    expect(answer.locator(".measures")).to_contain_text("tokens/s")
    expect(answer.locator(".siblings")).to_have_count(0)
    ask(page, "word " * 2000)
    answer = answered(page)
    expect(answer.get_by_role("alert")).to_contain_text("maximum context length is 4096 tokens")


def test_settings_are_kept_and_the_documents_can_be_asked_instead(page, talks):
    open_chat(page, talks)
    page.locator("#mode").click()
    page.get_by_label("System message").fill("Be brief.")
    page.get_by_label("Seed").fill("7")
    page.keyboard.press("Escape")
    page.reload()
    page.locator("#empty-title").wait_for()
    with page.expect_request("**/v1/chat/completions") as sent:
        ask(page, "Hello")
    body = sent.value.post_data_json
    assert body["messages"][0] == {"role": "system", "content": "Be brief."} and body["seed"] == 7
    first = answered(page).locator(".words").inner_text()
    page.locator("#mode").click()
    page.get_by_label("From the documents, with quotes").check()
    page.keyboard.press("Escape")
    expect(page.locator("#mode")).to_have_text("From the documents")
    with page.expect_request("**/v1/chat/completions") as sent:
        ask(page, "What is the deposit?")
    assert "grounded" not in sent.value.post_data_json and first
    expect(answered(page)).to_contain_text("The deposit is 1,200 euros.")  # in a quote


def test_a_key_is_asked_for_where_one_is_needed(visit, page, documents, tmp_path):
    if importlib.util.find_spec("groundup.serve.keys") is None:
        pytest.skip("keys are not built yet")
    from groundup.serve.keys import add_key

    file = tmp_path / "keys.json"
    secret = add_key(file, "me", scope=["all"]).key
    with serving(None, "--index", str(documents), "--keys", str(file), name="hall") as server:
        page.goto(f"{server.url}/search?q=deposit")
        page.get_by_role("textbox", name="Key", exact=True).fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("API key")
        page.get_by_role("textbox", name="Key", exact=True).fill(secret)
        page.keyboard.press("Enter")
        expect(page.locator(".passage").first).to_contain_text("1,200 euros")
        assert secret not in page.evaluate("Object.values(localStorage).join()")
        page.goto(f"{server.url}/chat")
        ask(page, "What is the deposit?")
        expect(answered(page).locator(".claim").first).to_contain_text("1,200 euros")


def test_files_are_sent_by_an_allow_list_with_their_hashes(quotes):
    with httpx.Client(base_url=quotes.url, timeout=SECONDS) as client:
        for path in ("/", "/chat", "/search", "/document", "/static/look.css", "/static/chat.js"):
            answer = client.get(path)
            assert answer.status_code == 200
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy and answer.headers["x-content-type-options"] == "nosniff"
            same = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
            assert (same.status_code, same.content) == (304, b"")
            assert b"http:" not in answer.content and b"https:" not in answer.content
        for name in ("nothing.js", "pages.py", "..%2fpages.py", "%2e%2e/api.py", ""):
            assert client.get(f"/static/{name}").status_code == 404


def test_what_pages_ask_for_refuses_what_is_wrong_in_a_sentence(quotes, talks):
    with httpx.Client(base_url=quotes.url, timeout=SECONDS) as client:
        about = client.get("/api/about").json()
        assert about["model"] == "hall" and not about["writes"] and about["index"]
        for query in ("", "q=", "q=a&limit=0", "q=a&limit=51", "q=a&limit=x", f"q={'a' * 4001}"):
            answer = client.get(f"/api/search?{query}")
            assert answer.status_code == 400 and answer.json()["error"]["param"] in ("q", "limit")
        for path in ("../lease.md", "/etc/passwd", "lease.md/", "LEASE.md", "lease.md%00"):
            answer = client.get(f"/api/document?path={path}")
            assert answer.status_code == 404, path
            assert answer.json()["error"]["message"] == "The index has no such document."
        for query in ("start=-1", "end=x", "around=500001", f"end={2**63}", f"quote={'a' * 4001}"):
            assert client.get(f"/api/document?path=lease.md&{query}").status_code == 400
        for query in ("q=%00%ff", "q=%22*)(", "q=AND+OR+NOT", "q=%F0%9F%8E%A1", "q=+"):
            assert client.get(f"/api/search?{query}").status_code in (200, 400)


def test_a_document_is_read_around_the_quote_alone(quotes):
    with httpx.Client(base_url=quotes.url, timeout=SECONDS) as client:
        [passage, *_] = client.get("/api/search?q=ferryman").json()["passages"]
        at = passage["text"].index("The ferryman")
        place = {"start": passage["start"] + at, "end": passage["start"] + at + 22}
        found = client.get("/api/document", params={"path": "long.md", "around": 10} | place).json()
        [[start, end]] = found["marks"]
        assert found["text"][start:end] == "The ferryman is Ansel."
        assert len(found["text"]) == 42 and found["size"] > 20_000
        by_text = {"path": "long.md", "around": 10, "quote": "The ferryman is Ansel.", "q": "Ansel"}
        found = client.get("/api/document", params=by_text | place).json()
        assert found["text"][slice(*found["words"][0])] == "Ansel"
        assert client.get("/api/document?path=long.md").json()["marks"] == []
