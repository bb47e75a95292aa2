"""Does `ask` refuse near misses made from the folder itself? Risk and coverage at each threshold.

A near miss asks a real name for a property that only other names have: no passage with the name
has the property's stem. Its twin asks for one that stands in a sentence with the name. Names are
those of code, in at most twenty passages; properties are words that share sentences with at least
five names. One of each is asked of every drawn name.

    python -m benchmarks.retrieve.near_misses INDEX... [--page FOLDER] [--show]

Risk is the share of near misses that are answered, coverage that of the twins. Results:
results/near_misses.json; the two curves: FOLDER/near_misses.html.
"""

import argparse
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import table
from groundup.core import write_json, write_text
from groundup.core.page import HtmlPage, Series, line_chart
from groundup.documents import split_sentences
from groundup.measure import synset_ids, wilson_interval
from groundup.retrieve import OpenIndex, answer_question, open_index
from groundup.retrieve.answers.answer import THRESHOLD
from groundup.retrieve.wording.language import stem_words, stop_words
from groundup.retrieve.wording.question import NAME, _is_code_name

NAMES, MAX_PASSAGES, MIN_NAMES = 100, 20, 5
SEED = 20261129


class Pair(NamedTuple):
    """A question that the folder answers and one that it does not, of one name."""

    name: str
    known: str
    unknown: str


def main() -> None:
    """Ask the pairs of each index and keep both curves."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("index", nargs="+", type=Path)
    parser.add_argument("--page", type=Path, help="folder of the page with the curves")
    parser.add_argument("--show", action="store_true", help="print near misses that were answered")
    arguments = parser.parse_args()
    rows = []
    for path in arguments.index:
        opened = open_index(path)
        pairs = make_pairs(opened)
        known = [_score(opened, pair.known, pair.name) for pair in pairs]
        unknown = [_score(opened, pair.unknown, pair.name) for pair in pairs]
        rows.append({"folder": path.parent.name, "known": known, "unknown": unknown})
        print(describe(rows[-1]))
        for pair, score in zip(pairs, unknown, strict=True):
            if arguments.show and score >= THRESHOLD:
                print(f"  {score:.2f} What is the {pair.unknown} of {pair.name}?")
    found = {"machine": table.machine_class(), "threshold": THRESHOLD, "folders": rows}
    write_json(table.RESULTS / "near_misses.json", found)
    if arguments.page:
        arguments.page.mkdir(parents=True, exist_ok=True)
        write_text(arguments.page / "near_misses.html", draw(rows))


def make_pairs(opened: OpenIndex) -> list[Pair]:
    """At most NAMES pairs, the same for the same index."""
    together: dict[str, set[str]] = defaultdict(set)  # by name: words of its sentences
    passages: Counter[str] = Counter()
    around: dict[str, set[str]] = defaultdict(set)  # by name: stems of its passages
    for passage in sorted(opened.lexical.passages(), key=lambda each: each.id):
        found: set[str] = set()
        for unit in split_sentences(passage.text):
            names, words = _parts(passage.text[unit.start : unit.end])
            found |= names
            for name in names:
                together[name] |= words
        passages.update(found)
        whole = " ".join((*passage.headings, passage.path, passage.text))
        stems = set(stem_words(whole)) if found else set()
        for name in found:
            around[name] |= stems
    having = Counter(word for words in together.values() for word in words)
    properties = sorted(word for word, count in having.items() if count >= MIN_NAMES)
    names = sorted(name for name, count in passages.items() if count <= MAX_PASSAGES)
    return list(_draw_pairs(names, properties, together, around))


def _draw_pairs(
    names: list[str], properties: list[str], together: dict[str, set[str]],
    around: dict[str, set[str]],
) -> Iterator[Pair]:  # fmt: skip
    draw = random.Random(SEED)
    draw.shuffle(names)
    count, stems = 0, {word: set(stem_words(word)) for word in properties}
    for name in names:
        own = set(stem_words(name))
        known = [w for w in properties if w in together[name] and not own & stems[w]]
        unknown = [word for word in properties if not around[name] & stems[word]]
        if known and unknown and count < NAMES:
            count += 1
            yield Pair(name, draw.choice(known), draw.choice(unknown))


def _parts(sentence: str) -> tuple[set[str], set[str]]:
    """The names of code in a sentence, and its nouns of at least four letters."""
    found = {match.group() for match in NAME.finditer(sentence)}
    names = {word for word in found if _is_code_name(word) and len(word) < 40}
    plain = {word for word in found - names if word.isalpha() and word.islower() and len(word) > 3}
    return names, {word for word in plain - stop_words()["english"] if synset_ids(word)}


def _score(opened: OpenIndex, word: str, name: str) -> float:
    return float(answer_question(opened, f"What is the {word} of {name}?").details["score"])


def describe(row: dict) -> str:
    """Both rates at the threshold, with 95 % intervals."""
    parts = []
    for kind, title in (("known", "twins answered"), ("unknown", "near misses refused")):
        scores = row[kind]
        count = sum((score >= THRESHOLD) == (kind == "known") for score in scores)
        span = wilson_interval(count, len(scores))
        parts.append(f"{title} {count} of {len(scores)} [{span.low:.2f}, {span.high:.2f}]")
    return f"{row['folder']}: {', '.join(parts)}"


def draw(rows: Sequence[dict]) -> str:
    """Risk over coverage of every folder, as a page."""
    thresholds = [step / 100 for step in range(101)]
    curves = []
    for row in rows:
        risk, coverage = (
            [sum(score >= at for score in row[kind]) / len(row[kind]) for at in thresholds]
            for kind in ("unknown", "known")
        )
        points = sorted(zip(coverage, risk, strict=True))
        curves.append(Series(row["folder"], *map(list, zip(*points, strict=True))))
    lead = (
        "Each point of a curve is a threshold: to the right more is answered, above more wrongly."
    )
    page = HtmlPage("Near misses: risk and coverage", lead)
    across, up = "twins that are answered", "near misses that are answered"
    page.add(line_chart("Risk over coverage", curves, x_label=across, y_label=up))
    return page.render()


if __name__ == "__main__":
    main()
