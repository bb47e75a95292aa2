"""How much of the text of real pages leads back to its bytes, and whether these are the right ones.

    python -m benchmarks.documents.web_map PAGES --pages 1200 --seed 77

PAGES is the directory of web_pages.py; pages of more than 300,000 bytes are left out, as in the
audit that this answers. For every segment of the map of `web.main_text` the bytes are decoded, tags
and comments taken out, entities resolved and white space folded by code that shares nothing with
the aligner; they are right if they are the segment's text. What the extractor put there (bullets,
numbers of items) is counted apart. Speed is CPU time of the step. Writes nothing.
"""

import argparse
import html
import random
import re
import time
from collections import Counter
from pathlib import Path

from benchmarks.documents.web_pages import all_pages
from groundup.documents import (
    Record,
    SourceMap,
    decode,  # noqa: E402
)
from groundup.documents.web.main_text import MainText, MainTextConfig

TAG = re.compile(r"<!--.*?-->|<(?:\"[^\"]*\"|'[^']*'|[^>\"'])*>", re.DOTALL)
PUT = re.compile(r"\s*(?:(?:•|\d{1,9}\.)(?:\s+|$))+")


def folded(text: str) -> str:
    """Text without white space."""
    return "".join(text.split())


def judge(map: SourceMap, data: bytes, charset: str) -> Counter[str]:
    """Characters of a text that are no blanks: put there, right, wrong or without a place."""
    found: Counter[str] = Counter()
    for segment in map.segments:
        text = map.text[segment.start : segment.end]
        size = len(folded(text))
        if not size:
            continue
        raw = data[segment.byte_start : segment.byte_end].decode(charset, "replace")
        if folded(html.unescape(TAG.sub("", raw))) == folded(text):
            found["right"] += size
        elif PUT.fullmatch(text):
            found["put there by the extractor"] += size
        else:
            found["wrong" if raw else "without a place"] += size
    return found


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages_directory", type=Path, metavar="PAGES")
    parser.add_argument("--pages", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=77)
    arguments = parser.parse_args()
    chosen = random.Random(arguments.seed).sample(
        list(all_pages(arguments.pages_directory)), arguments.pages
    )
    step = MainText(MainTextConfig())
    total, packages, seconds, pages, lines = Counter(), {}, 0.0, 0, 0
    for package, path in chosen:
        data = path.read_bytes()
        if len(data) > 300_000:
            continue
        start = time.process_time()
        ruling = step(Record("1", "s", path.name, "html", data=data))
        seconds += time.process_time() - start
        pages += 1
        if ruling.extracted:
            found = judge(ruling.extracted.map, data, decode(data, kind="html").charset)
            lines += int(ruling.metadata.get("lines_without_place", 0))
            total += found
            packages.setdefault(package, Counter()).update(found)
    said = total["right"] + total["wrong"] + total["without a place"]
    for kind, count in total.most_common():
        print(f"{count:10,d} {count / said:.4f} {kind}")
    print(f"{pages} pages, {lines} lines without a place, {pages / seconds:.0f} pages a CPU second")
    for package, found in sorted(
        packages.items(), key=lambda one: one[1]["right"] / one[1].total()
    ):
        if found["wrong"] + found["without a place"]:
            print(f"  {package}: {dict(found)}")


if __name__ == "__main__":
    main()
