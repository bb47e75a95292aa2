"""The quality rules on real stories whose text was marked by others.

    python -m benchmarks.documents.stories rules PAGES --half development|final

PAGES is github.com/scrapinghub/article-extraction-benchmark (4a3bc97, MIT): 181 pages of news and
blogs with their story as people marked it (`articleBody`). A page belongs to the half that its name
says. A story is a good text, and the rest of its page (menus, links, comments, forms) a bad one.
"""

import argparse
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.documents.web_pages import visible_lines
from groundup.corpus.quality import rules
from groundup.documents import Record, SourceMap
from groundup.measure import wilson_interval


class Line(NamedTuple):
    """A line and whether it is the story's."""

    text: str
    is_story: bool


class Page(NamedTuple):
    """A page: its lines with menus, and what was marked."""

    name: str
    html: str
    story: str


def pages(root: Path, half: str) -> Iterator[Page]:
    """Yield the pages of a half; of names, the even ones are for development."""
    for name, row in json.loads((root / "ground-truth.json").read_text("utf-8")).items():
        if (int(name[:8], 16) % 2 == 1) == (half == "final"):
            data = gzip.open(root / "html" / f"{name}.html.gz").read()
            yield Page(name, data.decode("utf-8", "replace"), row["articleBody"])


def squeezed(text: str) -> str:
    """Letters and digits alone, for comparison."""
    return re.sub(r"\W+", "", text.casefold())


def labelled(lines: list[str], story: str) -> list[Line]:
    """Each line that holds a letter, with its label."""
    body = squeezed(story)
    whole = {squeezed(line) for line in story.splitlines()}
    found = []
    for line in lines:
        short = squeezed(line)
        if short:
            # A few words may stand anywhere in a story: as a line they must be one there.
            found.append(Line(line, short in body if len(short) > 40 else short in whole))
    return found


def quality(root: Path, half: str) -> None:
    """Which rules refuse stories, and the rest of their pages."""
    steps = {
        "quality.gopher": rules.Gopher(rules.GopherConfig()),
        "quality.gopher_repetition": rules.GopherRepetition(rules.GopherRepetitionConfig()),
        "quality.c4": rules.C4(rules.C4Config()),
        "quality.fineweb": rules.FineWeb(rules.FineWebConfig()),
    }
    good, bad = [], []
    for page in pages(root, half):
        rest = [line.text for line in labelled(visible_lines(page.html), page.story)
                if not line.is_story]  # fmt: skip
        good.append(page.story)
        bad.append("\n".join(rest))
    for name, step in steps.items():
        refused = [sum(bool(step(english(text)).reason) for text in texts) for texts in (good, bad)]
        print(told(name, refused, len(good), len(bad)))
    both = [sum(any(step(english(text)).reason for step in steps.values()) for text in texts)
            for texts in (good, bad)]  # fmt: skip
    print(told("any of the four", both, len(good), len(bad)))


def english(text: str) -> Record:
    """A record in English."""
    told = {"language": "en"}
    return Record("s", "s", "s", "text", text, metadata=told, map=SourceMap.identity(text))


def told(name: str, refused: list[int], good: int, bad: int) -> str:
    """Precision, recall and false alarms of what refuses bad texts."""
    shares = (wilson_interval(refused[1], max(sum(refused), 1)), wilson_interval(refused[1], bad),
              wilson_interval(refused[0], good))  # fmt: skip
    return f"{name:26}" + " ".join(
        f"{what} {one.estimate:.3f} [{one.low:.3f}, {one.high:.3f}]"
        for what, one in zip(("precision", "recall", "false alarms"), shares, strict=True)
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=("rules",))
    parser.add_argument("pages", type=Path)
    parser.add_argument("--half", choices=("development", "final"), default="development")
    given = parser.parse_args()
    quality(given.pages, given.half)


if __name__ == "__main__":
    main()
