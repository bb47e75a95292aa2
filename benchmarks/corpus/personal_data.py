"""Personal data: F1 on templates in five languages, and false alarms on real manuals.

    python -m benchmarks.corpus.personal_data templates [--seed 1] [--count 400]
    python -m benchmarks.corpus.personal_data manuals FOLDER [--characters 5000000] [--show 10]

Templates come from personal_templates.py, written by somebody who has not seen the
patterns: make(language, seed, count) -> [(text, [(start, end, kind)])]. A value counts as found if
a place of its kind covers the same characters, give or take the separators at its ends. In manuals
everything is listed; what is a real address or number there is counted by hand from --show.
"""

import argparse
import html
import random
import re
import time
from collections import Counter, defaultdict
from pathlib import Path

from groundup.corpus.safety.personal import CONTEXT_KINDS, VALIDATED_KINDS, _find_personal
from groundup.measure import wilson_interval

LANGUAGES = ("en", "de", "fr", "es", "it")
TAG = re.compile(r"<(?:script|style)[^>]*>.*?</(?:script|style)>|<[^>]*>", re.DOTALL)
SAME = {
    "national": "national_id", "ssn": "national_id", "tax_id": "national_id", "ipv4": "ip",
    "ipv6": "ip", "credit_card": "card", "person": "name", "postal_address": "address",
}  # fmt: skip
"""Other names for the kinds."""


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A place without separators at its ends."""
    while start < end and not text[start].isalnum():
        start += 1
    while end > start and not text[end - 1].isalnum():
        end -= 1
    return start, end


def templates(seed: int, count: int, show: int) -> None:
    """Print precision, recall and F1 by language and kind."""
    from benchmarks.corpus.personal_templates import make

    everything: Counter[str] = Counter()
    for language in LANGUAGES:
        tally: dict[str, Counter[str]] = defaultdict(Counter)
        shown = 0
        for text, marks in make(language, seed, count):
            wanted = {(*trimmed(text, a, b), SAME.get(k.lower(), k.lower())) for a, b, k in marks}
            kinds = (*VALIDATED_KINDS, *CONTEXT_KINDS)
            found = {(*trimmed(text, a, b), k) for a, b, k in _find_personal(text, kinds)}
            for a, b, kind in wanted | found:
                which = "right" if (a, b, kind) in wanted & found else (
                    "missed" if (a, b, kind) in wanted else "false")  # fmt: skip
                tally[kind][which] += 1
                if which != "right" and shown < show:
                    shown += 1
                    around = text[max(0, a - 25) : b + 15]
                    print(f"    {language} {which} {kind}: {text[a:b]!r} in {around!r}")
        tally["all validated"] = sum((tally[k] for k in VALIDATED_KINDS if k in tally), Counter())
        tally["all"] = sum(
            (tally[k] for k in (*VALIDATED_KINDS, *CONTEXT_KINDS) if k in tally), Counter()
        )
        everything += tally["all"]
        for kind, one in sorted(tally.items()):
            print(language, kind, line(one))
    print("all languages", line(everything))


def line(one: Counter[str]) -> str:
    """Precision, recall and F1 of a tally."""
    right, missed, false = one["right"], one["missed"], one["false"]
    precision, recall = right / max(right + false, 1), right / max(right + missed, 1)
    f1 = 2 * right / max(2 * right + missed + false, 1)
    low = wilson_interval(right, max(right + missed, 1)).low
    shares = f"precision {precision:.3f} recall {recall:.3f} (≥ {low:.3f}) F1 {f1:.3f}"
    return f"n={right + missed} {shares}"


def manuals(folder: Path, characters: int, show: int) -> None:
    """Print what is found in real pages, a million characters, with examples."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".html", ".page"))
    random.Random(0).shuffle(paths)
    counts: Counter[str] = Counter()
    examples: dict[str, set[str]] = defaultdict(set)
    seen, seconds, pages = 0, 0.0, 0
    for path in paths:
        text = html.unescape(TAG.sub(" ", path.read_text(encoding="utf-8", errors="replace")))
        begun = time.perf_counter()
        found = _find_personal(text, (*VALIDATED_KINDS, *CONTEXT_KINDS))
        seconds += time.perf_counter() - begun
        seen, pages = seen + len(text), pages + 1
        for start, end, kind in found:
            counts[kind] += 1
            examples[kind].add(" ".join(text[max(0, start - 30) : end + 10].split()))
        if seen >= characters:
            break
    print(
        f"{pages} pages, {seen:,} characters, {seen / seconds / 1e6:.2f} M characters/s (all kinds)"
    )
    for kind in (*VALIDATED_KINDS, *CONTEXT_KINDS):
        print(f"{kind:12} {counts[kind] * 1e6 / seen:8.2f} in 1M characters ({counts[kind]})")
        for example in random.Random(0).sample(
            sorted(examples[kind]), min(show, len(examples[kind]))
        ):
            print("     ", example)


def main() -> None:
    """Run one of the two measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("templates", "manuals"))
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--characters", type=int, default=5_000_000)
    parser.add_argument("--show", type=int, default=10)
    options = parser.parse_args()
    if options.what == "templates":
        templates(options.seed, options.count, options.show)
    else:
        manuals(options.folder, options.characters, options.show)


if __name__ == "__main__":
    main()
