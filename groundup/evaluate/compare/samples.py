"""Pages of samples: the runs' answers side by side, with filters that work offline.

A task's samples are rendered one at a time into a scratch file; only their offsets and filter masks
stay in memory. The file is then split into pages that are small enough for any browser, each with
the filter counts of all other pages.
"""

import json
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from groundup.core import page, write_text

from ..harness.report import TaskReport
from ..task.prompt import prompt_text
from .comparison import Aligned, Run

PAGE_BYTES = 800_000
PAGE_SAMPLES = 100
LETTERS_A_SAMPLE = 24_000
"""Maximum characters of answers per sample; longer ones are truncated with a note."""
LETTERS_A_PROMPT = 8_000
MOST_ANSWERS = 8
"""Maximum repeated answers of one run that are shown."""
KEYS = (
    ("f", "next filter"),
    ("← →", "page before or after that has samples of the filter"),
)


class Filter(NamedTuple):
    """A subset of samples that the page can show."""

    name: str
    title: str


class Spool:
    """Rendered samples of one task in a file, with their offsets and filter masks."""

    def __init__(self, file: BinaryIO, task: TaskReport, runs: Sequence[Run]) -> None:
        self.file, self.task, self.runs = file, task, runs
        self.filters = filters_of([run.letter for run in runs])
        self.ends, self.masks = array("Q", [0]), array("L")

    def take(self, sample: Aligned) -> None:
        """Render one sample."""
        masks = [mask(sample, m.key, m.better, self.filters) for m in self.task.measures]
        text = article(sample, self.runs, self.task, masks).encode()
        self.file.write(text)
        self.ends.append(self.ends[-1] + len(text))
        self.masks.extend(masks)

    def pages(self) -> list[range]:
        """The samples of each page; at least one page."""
        pages, start = [], 0
        for index in range(len(self.ends) - 1):
            is_full = self.ends[index + 1] - self.ends[start] > PAGE_BYTES
            if index > start and (is_full or index - start >= PAGE_SAMPLES):
                pages.append(range(start, index))
                start = index
        return [*pages, range(start, len(self.ends) - 1)]

    def href(self, pages: Sequence[str], number: int) -> str:
        """Link from the first page to the sample of this index."""
        at = next((n for n, samples in enumerate(self.pages()) if number in samples), 0)
        return f"samples/{pages[at]}#s{number + 1}" if pages else ""

    def counts(self, pages: Sequence[range]) -> list[list[list[int]]]:
        """Samples of each filter, by measure and page: [measure][filter][page]."""
        table = np.frombuffer(self.masks, dtype=np.dtype("L")) if self.masks else np.zeros(0, int)
        table = table.reshape(-1, max(1, len(self.task.measures)))
        return [
            [
                [int((table[p.start : p.stop, m] >> f & 1).sum()) for p in pages]
                for f in range(len(self.filters))
            ]
            for m in range(len(self.task.measures))
        ]


def filters_of(letters: Sequence[str]) -> list[Filter]:
    """Filters in bit order; A is the first run."""
    pairs = [
        each
        for letter in letters[1:]
        for each in (
            Filter(f"A-{letter}", f"A right, {letter} wrong"),
            Filter(f"{letter}-A", f"{letter} right, A wrong"),
        )
    ]
    return [
        Filter("all", "all"), Filter("differ", "differ"), *pairs,
        Filter("unparsed", "unparsed"), Filter("undefined", "undefined"),
    ]  # fmt: skip


def mask(sample: Aligned, key: str, better: str, filters: Sequence[Filter]) -> int:
    """Bit mask of the filters that a sample matches in one measure."""
    scores = [row["scores"].get(key) for row in sample.rows]
    names = {"all"}
    if any(score != scores[0] for score in scores[1:]):
        names.add("differ")
    first = amount(scores[0])
    letters = [f.name[2:] for f in filters if f.name.startswith("A-")]
    for letter, score in zip(letters, map(amount, scores[1:]), strict=True):
        if first is None or score is None or score == first:
            continue
        first_wins = (first > score) == (better == "higher")
        names.add(f"A-{letter}" if first_wins else f"{letter}-A")
    filter_name = key.partition(",")[2]
    if any(filter_name in row["unparsed"] for row in sample.rows if filter_name):
        names.add("unparsed")
    if any(key in row["undefined"] for row in sample.rows):
        names.add("undefined")
    return sum(1 << bit for bit, each in enumerate(filters) if each.name in names)


def amount(score: Any) -> float | None:
    """A score as one comparable number, if possible; the quotient of a ratio."""
    match score:
        case bool() | int() | float():
            return float(score)
        case [int() | float() as total, int() | float() as weight] if weight:
            return total / weight
    return None


def article(sample: Aligned, runs: Sequence[Run], task: TaskReport, masks: Sequence[int]) -> str:
    """One sample as escaped HTML."""
    row = sample.rows[0]
    room = LETTERS_A_SAMPLE // len(sample.rows)
    prompt = cut(prompt_text(row.get("prompt") or ""), LETTERS_A_PROMPT)
    target = cut(target_text(row), LETTERS_A_PROMPT // 4)
    name = cut(str(row.get("id")), 200) + (f" · {row['group']}" if row.get("group") else "")
    answers = "".join(
        f'<div class="answer"><p class="label"><span>{run.letter} · {page.escape(run.name)}</span>'
        f'<span class="score">{page.escape(scores_text(each, task))}</span></p>'
        f"{''.join(answer_parts(each, room))}</div>"
        for run, each in zip(runs, sample.rows, strict=True)
    )
    return (
        f'<article class="sample card" id="s{sample.number + 1}" '
        f'data-m="{",".join(map(str, masks))}"><div class="asked"><div><p class="label">'
        f"<span>{sample.number + 1} · {page.escape(name)}</span></p>"
        f'<p class="text">{page.escape(prompt)}</p></div><div><p class="label">Expected</p>'
        f'<p class="text">{page.escape(target)}</p></div></div>'
        f'<div class="answers">{answers}</div></article>\n'
    )


def target_text(row: dict[str, Any]) -> str:
    """The target as text: an option's text instead of its index."""
    target, options = row.get("target"), row.get("options") or []
    if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < len(options):
        return str(options[target])
    if isinstance(target, str):
        return target
    if isinstance(target, list) and all(isinstance(each, str) for each in target):
        return "\n".join(target)
    return "" if target is None else json.dumps(target, ensure_ascii=False)


def scores_text(row: dict[str, Any], task: TaskReport) -> str:
    """A run's scores of one sample: `acc 1 · bits 0.83`."""
    parts = []
    for measure in task.measures:
        if (undefined := row["undefined"].get(measure.key)) is not None:
            parts.append(f"{measure.key} undefined: {undefined.get('code')}")
        elif (value := amount(row["scores"].get(measure.key))) is not None:
            parts.append(f"{measure.key} {value:.4g}")
    return " · ".join(parts)


def answer_parts(row: dict[str, Any], room: int) -> Iterator[str]:
    """A run's answers: its texts, or the log-probability of each option."""
    answers, options = row["answers"], row.get("options") or []
    if options and all("logprob" in answer for answer in answers):
        yield from option_parts(answers, options, room)
    else:
        room //= max(1, min(len(answers), MOST_ANSWERS))
        for answer in answers[:MOST_ANSWERS]:
            yield answer_part(answer, room)
        if len(answers) > MOST_ANSWERS:
            yield f'<p class="none">… and {len(answers) - MOST_ANSWERS} more answers</p>'
    for name, value in row["filtered"].items():
        texts = value if isinstance(value, list) else [value]
        read = cut(" | ".join(map(str, texts)), 300)
        if name != "none" and texts != [answer.get("text") for answer in answers]:
            yield f'<p class="read">{page.escape(name)} read: {page.escape(read)}</p>'
    for name in row["unparsed"]:
        yield f'<p class="read bad-text">{page.escape(name)} found no answer</p>'


def option_parts(
    answers: Sequence[dict[str, Any]], options: Sequence[Any], room: int
) -> Iterator[str]:
    """The options with their log-probabilities, the most likely marked."""
    shown = list(zip(options, answers, strict=False))
    best = max((answer["logprob"] for _, answer in shown), default=None)
    for option, answer in shown:
        is_best = answer["logprob"] == best
        mark = "▸ " if is_best else ""
        text = f"{mark}{cut(str(option), room // max(1, len(shown)))}"
        kind = "option best" if is_best else "option"
        yield (
            f'<p class="{kind}"><span>{page.escape(text)}</span>'
            f'<span class="score">{answer["logprob"]:.3f}</span></p>'
        )


def answer_part(answer: dict[str, Any], room: int) -> str:
    """One answer: a text, a likelihood, or why there is none."""
    if "code" in answer:
        message = f"{answer['code']}: {answer.get('message', '')}"
        return f'<p class="text bad-text">{page.escape(cut(message, room))}</p>'
    if "logprob" in answer:
        greedy = ", greedy" if answer.get("is_greedy") else ""
        likelihood = f"{answer['logprob']:.3f} nats over {answer.get('tokens')} tokens{greedy}"
        return f'<p class="text">{page.escape(likelihood)}</p>'
    text = str(answer.get("text", ""))
    if not text:
        return '<p class="text none">(empty answer)</p>'
    end = '<p class="none">(cut at the limit of tokens)</p>' * (
        answer.get("finish_reason") == "length"
    )  # fmt: skip
    return f'<p class="text">{page.escape(cut(text, room))}</p>{end}'


def cut(text: str, room: int) -> str:
    """Truncate a long text, with a note of its length.

    >>> cut("a" * 500, 100)[-30:]
    'aaaaaaa … (100 of 500 letters)'
    """
    if len(text) <= room:
        return text
    return f"{text[:room]} … ({room:,} of {len(text):,} letters)"


def page_name(place: int, task: str, number: int) -> str:
    """File name of a task's page, numbered from 1.

    >>> page_name(0, "arithmetic/add", 2)
    '01-arithmetic-add-2.html'
    """
    return f"{place + 1:02d}-{page.anchor(task)[:60].strip('-')}-{number}.html"


def write_pages(spool: Spool, place: int, folder: Path) -> list[str]:
    """Split the spooled samples into pages; return their names."""
    pages = spool.pages()
    names = [page_name(place, spool.task.name, n + 1) for n in range(len(pages))]
    index = json.dumps({
        "names": names,
        "measures": [measure.key for measure in spool.task.measures],
        "filters": [each.name for each in spool.filters],
        "counts": spool.counts(pages),
    }, separators=(",", ":"))  # fmt: skip
    for number, samples in enumerate(pages):
        start, end = spool.ends[samples.start], spool.ends[samples.stop]
        spool.file.seek(start)
        body = page.Html(spool.file.read(end - start).decode())
        write_text(folder / names[number], sample_page(spool, number, names, samples, body, index))
    return names


def sample_page(
    spool: Spool, number: int, names: Sequence[str], samples: range, body: page.Html, index: str
) -> page.Html:
    """One page of samples."""
    total = len(spool.ends) - 1
    sheet = page.Page(
        spool.task.name,
        f"Samples {samples.start + 1:,} to {samples.stop:,} of {total:,}." if total else
        "The task has no samples.",
        style=page.resource(__file__, "samples.css"),
        script=page.resource(__file__, "samples.js"), keys=KEYS,
    )  # fmt: skip
    back = page.element("a", "← All numbers", attributes={"href": "../index.html"})
    data = {"id": "index", "data-index": index, "data-page": number, "hidden": True}
    sheet.add(
        page.element("p.back", back),
        controls(spool),
        page.element("div", attributes=data),
        page.element("p.empty", attributes={"id": "nothing", "hidden": True, "role": "status"}),
        page.element("div.samples", body, attributes={"id": "samples"}),
        pager(number, names),
    )
    return sheet.render()


def controls(spool: Spool) -> page.Html:
    """Buttons of the filters; the script fills in counts and measures."""
    buttons = [
        page.element(
            "button", each.title, " ", page.element("span.count"),
            attributes={"type": "button", "data-filter": each.name},
        )
        for each in spool.filters
    ]  # fmt: skip
    options = [
        page.element("option", measure.key, attributes={"value": place})
        for place, measure in enumerate(spool.task.measures)
    ]
    select = page.element("select", *options, attributes={"id": "measure"})
    return page.element(
        "div.controls",
        page.element("div.filters", *buttons, attributes={"role": "group", "aria-label": "Show"}),
        page.element("label", "by ", select) if len(options) > 1 else "",
        attributes={"hidden": True, "id": "controls"},
    )


def pager(number: int, names: Sequence[str]) -> page.Html:
    """Links to the previous and next page, and this page's number."""
    before = names[number - 1] if number else ""
    after = names[number + 1] if number + 1 < len(names) else ""
    return page.element(
        "div.pager",
        link("before", "← Before", before),
        page.element("span", f"Page {number + 1:,} of {len(names):,}", attributes={"id": "at"}),
        link("after", "After →", after),
    )


def link(name: str, text: str, href: str) -> page.Html:
    """A link of the pager, hidden without a target."""
    attributes = {"id": name, "href": href or "#", "hidden": not href}
    return page.element("a", text, attributes=attributes)
