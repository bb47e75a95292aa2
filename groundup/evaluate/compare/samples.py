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
from ..task.task import prompt_text
from .comparison import AlignedSample, ComparedRun

MAX_PAGE_BYTES = 800_000
MAX_PAGE_SAMPLES = 100
MAX_SAMPLE_CHARS = 24_000
"""Maximum characters of answers per sample; longer ones are truncated with a note."""
MAX_PROMPT_CHARS = 8_000
MAX_UNPARSED_SHOWN = 20
"""Maximum unparsed answers on the first page."""
MAX_ANSWERS_SHOWN = 8
"""Maximum repeated answers of one run that are shown."""
KEY_BINDINGS = (
    ("f", "next filter"),
    ("← →", "page before or after that has samples of the filter"),
)


class SampleFilter(NamedTuple):
    """A subset of samples that the page can show."""

    name: str
    title: str


class SampleSpool:
    """Rendered samples of one task in a file, with their offsets and filter masks."""

    def __init__(self, file: BinaryIO, task: TaskReport, runs: Sequence[ComparedRun]) -> None:
        self.file, self.task, self.runs = file, task, runs
        self.filters = _sample_filters([run.letter for run in runs])
        self.ends, self.masks = array("Q", [0]), array("L")
        self.unparsed: list[tuple[int, str, str, str]] = []
        """Sample, run, filter and text of the first answers that a filter could not parse."""

    def add(self, sample: AlignedSample) -> None:
        """Render one sample."""
        masks = [_filter_mask(sample, m.key, m.better, self.filters) for m in self.task.measures]
        text = _render_sample(sample, self.runs, self.task, masks).encode()
        self.file.write(text)
        self.ends.append(self.ends[-1] + len(text))
        self.masks.extend(masks)
        for run, row in zip(self.runs, sample.rows, strict=True):
            texts = " | ".join(
                str(each.get("text", each.get("code", ""))) for each in row["answers"]
            )
            for name in row["unparsed"][: MAX_UNPARSED_SHOWN - len(self.unparsed)]:
                shown = truncate_text(texts, 200)
                self.unparsed.append((sample.number, run.letter, name, shown))

    def pages(self) -> list[range]:
        """The samples of each page; at least one page."""
        pages, start = [], 0
        for index in range(len(self.ends) - 1):
            is_full = self.ends[index + 1] - self.ends[start] > MAX_PAGE_BYTES
            if index > start and (is_full or index - start >= MAX_PAGE_SAMPLES):
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


def _sample_filters(letters: Sequence[str]) -> list[SampleFilter]:
    """Filters in bit order; A is the first run."""
    pairs = [
        each
        for letter in letters[1:]
        for each in (
            SampleFilter(f"A-{letter}", f"A right, {letter} wrong"),
            SampleFilter(f"{letter}-A", f"{letter} right, A wrong"),
        )
    ]
    return [
        SampleFilter("all", "all"), SampleFilter("differ", "differ"), *pairs,
        SampleFilter("unparsed", "unparsed"), SampleFilter("undefined", "undefined"),
    ]  # fmt: skip


def _filter_mask(
    sample: AlignedSample, key: str, better: str, filters: Sequence[SampleFilter]
) -> int:
    scores = [row["scores"].get(key) for row in sample.rows]
    names = {"all"}
    if any(score != scores[0] for score in scores[1:]):
        names.add("differ")
    first = _score_value(scores[0])
    letters = [f.name[2:] for f in filters if f.name.startswith("A-")]
    for letter, score in zip(letters, map(_score_value, scores[1:]), strict=True):
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


def _score_value(score: Any) -> float | None:
    """A score as one comparable number, if possible; the quotient of a ratio."""
    match score:
        case bool() | int() | float():
            return float(score)
        case [int() | float() as total, int() | float() as weight] if weight:
            return total / weight
    return None


def _render_sample(
    sample: AlignedSample, runs: Sequence[ComparedRun], task: TaskReport, masks: Sequence[int]
) -> str:
    row = sample.rows[0]
    room = MAX_SAMPLE_CHARS // len(sample.rows)
    prompt = truncate_text(prompt_text(row.get("prompt") or ""), MAX_PROMPT_CHARS)
    target = truncate_text(_target_text(row), MAX_PROMPT_CHARS // 4)
    name = truncate_text(str(row.get("id")), 200) + (
        f" · {row['group']}" if row.get("group") else ""
    )
    answers = "".join(
        f'<div class="answer"><p class="label"><span>{run.letter} · {page.escape(run.name)}</span>'
        f'<span class="score">{page.escape(_scores_text(each, task))}</span></p>'
        f"{''.join(_answer_parts(each, room))}</div>"
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


def _target_text(row: dict[str, Any]) -> str:
    """The target as text: an option's text instead of its index."""
    target, options = row.get("target"), row.get("options") or []
    if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < len(options):
        return str(options[target])
    if isinstance(target, str):
        return target
    if isinstance(target, list) and all(isinstance(each, str) for each in target):
        return "\n".join(target)
    return "" if target is None else json.dumps(target, ensure_ascii=False)


def _scores_text(row: dict[str, Any], task: TaskReport) -> str:
    """A run's scores of one sample: `acc 1 · bits 0.83`."""
    parts = []
    for measure in task.measures:
        if (undefined := row["undefined"].get(measure.key)) is not None:
            parts.append(f"{measure.key} undefined: {undefined.get('code')}")
        elif (value := _score_value(row["scores"].get(measure.key))) is not None:
            parts.append(f"{measure.key} {value:.4g}")
    return " · ".join(parts)


def _answer_parts(row: dict[str, Any], max_chars: int) -> Iterator[str]:
    """A run's answers: its texts, or the log-probability of each option."""
    answers, options = row["answers"], row.get("options") or []
    if options and all("logprob" in answer for answer in answers):
        yield from _option_parts(answers, options, max_chars)
    else:
        max_chars //= max(1, min(len(answers), MAX_ANSWERS_SHOWN))
        for answer in answers[:MAX_ANSWERS_SHOWN]:
            yield _answer_part(answer, max_chars)
        if len(answers) > MAX_ANSWERS_SHOWN:
            yield f'<p class="none">… and {len(answers) - MAX_ANSWERS_SHOWN} more answers</p>'
    for name, value in row["filtered"].items():
        texts = value if isinstance(value, list) else [value]
        read = truncate_text(" | ".join(map(str, texts)), 300)
        if name != "none" and texts != [answer.get("text") for answer in answers]:
            yield f'<p class="read">{page.escape(name)} read: {page.escape(read)}</p>'
    for name in row["unparsed"]:
        yield f'<p class="read bad-text">{page.escape(name)} found no answer</p>'


def _option_parts(
    answers: Sequence[dict[str, Any]], options: Sequence[Any], max_chars: int
) -> Iterator[str]:
    shown = list(zip(options, answers, strict=False))
    best = max((answer["logprob"] for _, answer in shown), default=None)
    for option, answer in shown:
        is_best = answer["logprob"] == best
        mark = "▸ " if is_best else ""
        text = f"{mark}{truncate_text(str(option), max_chars // max(1, len(shown)))}"
        kind = "option best" if is_best else "option"
        yield (
            f'<p class="{kind}"><span>{page.escape(text)}</span>'
            f'<span class="score">{answer["logprob"]:.3f}</span></p>'
        )


def _answer_part(answer: dict[str, Any], max_chars: int) -> str:
    if "code" in answer:
        message = f"{answer['code']}: {answer.get('message', '')}"
        return f'<p class="text bad-text">{page.escape(truncate_text(message, max_chars))}</p>'
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
    return f'<p class="text">{page.escape(truncate_text(text, max_chars))}</p>{end}'


def truncate_text(text: str, max_chars: int) -> str:
    """Truncate a long text, with a note of its length.

    >>> truncate_text("a" * 500, 100)[-30:]
    'aaaaaaa … (100 of 500 letters)'
    """
    if len(text) <= max_chars:
        return text
    return f"{text[:max_chars]} … ({max_chars:,} of {len(text):,} letters)"


def _page_name(task_index: int, task: str, number: int) -> str:
    """File name of a task's page, numbered from 1.

    >>> _page_name(0, "arithmetic/add", 2)
    '01-arithmetic-add-2.html'
    """
    return f"{task_index + 1:02d}-{page.anchor(task)[:60].strip('-')}-{number}.html"


def write_sample_pages(spool: SampleSpool, task_index: int, folder: Path) -> list[str]:
    """Split the spooled samples into pages; return their names."""
    pages = spool.pages()
    names = [_page_name(task_index, spool.task.name, n + 1) for n in range(len(pages))]
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
        write_text(folder / names[number], _sample_page(spool, number, names, samples, body, index))
    return names


def _sample_page(
    spool: SampleSpool,
    number: int,
    names: Sequence[str],
    samples: range,
    body: page.Html,
    index: str,
) -> page.Html:
    total = len(spool.ends) - 1
    sheet = page.HtmlPage(
        spool.task.name,
        f"Samples {samples.start + 1:,} to {samples.stop:,} of {total:,}." if total else
        "The task has no samples.",
        style=page.read_resource(__file__, "samples.css"),
        script=page.read_resource(__file__, "samples.js"), shortcuts=KEY_BINDINGS,
    )  # fmt: skip
    back = page.element("a", "← All numbers", attributes={"href": "../index.html"})
    data = {"id": "index", "data-index": index, "data-page": number, "hidden": True}
    sheet.add(
        page.element("p.back", back),
        _filter_controls(spool),
        page.element("div", attributes=data),
        page.element("p.empty", attributes={"id": "nothing", "hidden": True, "role": "status"}),
        page.element("div.samples", body, attributes={"id": "samples"}),
        _pager(number, names),
    )
    return sheet.render()


def _filter_controls(spool: SampleSpool) -> page.Html:
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


def _pager(number: int, names: Sequence[str]) -> page.Html:
    before = names[number - 1] if number else ""
    after = names[number + 1] if number + 1 < len(names) else ""
    return page.element(
        "div.pager",
        _pager_link("before", "← Before", before),
        page.element("span", f"Page {number + 1:,} of {len(names):,}", attributes={"id": "at"}),
        _pager_link("after", "After →", after),
    )


def _pager_link(name: str, text: str, href: str) -> page.Html:
    attributes = {"id": name, "href": href or "#", "hidden": not href}
    return page.element("a", text, attributes=attributes)
