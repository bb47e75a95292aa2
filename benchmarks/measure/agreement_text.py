"""Measures of texts of ours on the pairs that peers were given.

`rows()` are lines of docs/benchmarks/agreement.md: our value of every pair of
tests/fixtures/measures/text.json.xz, which tests/oracles/measures_text.py wrote, beside the peer's.
"""

import hashlib
import json
import lzma
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import Reason
from groundup.measure import (
    Bleu,
    Chrf,
    ErrorRate,
    Meteor,
    Rouge,
    Ter,
    porter_stem,
    score_of_rows,
    self_bleu,
    synonyms,
    units_of_text,
)
from groundup.measure.text import edit, wordnet

FIXTURE = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "measures" / "text.json.xz"
PEERS = {
    "bleu": "sacrebleu", "chrf": "sacrebleu", "ter": "sacrebleu", "rouge": "rouge-score",
    "meteor": "nltk",
}  # fmt: skip
NAMES = {
    "tokenize": "tokeniser", "smooth_method": "smoothing", "smooth_value": "smoothing_value",
    "max_ngram_order": "order", "char_order": "character_order", "eps_smoothing": "smoothing",
    "normalized": "normalised",
}  # fmt: skip
ROUNDING = 1e-9
ENDINGS = ("", "s", "es", "ed", "ing", "er", "ly", "ness")
NO_TOKEN = "nothing in the reference to match, so undefined; the peer says {said}"
NOTES = {
    "bleu": NO_TOKEN,
    "chrf": NO_TOKEN,
    "meteor": NO_TOKEN,
    "ter": NO_TOKEN,
    "rouge": "the reference is too short or has no a-z, 0-9, so undefined; the peer says {said}",
}
BEAM = (
    "only {count} texts, of {shortest} or more words: the peer looks for edits only near the "
    "diagonal; with that limit lifted it gives ours (`ter, edits anywhere`)"
)


class Row(NamedTuple):
    """How far one measure lies from its peer's."""

    measure: str
    peer: str
    cases: int
    """Pairs for which both give a number, over all settings."""
    only_ours: int
    only_peer: int
    largest: float
    """Largest absolute difference."""
    note: str
    """What explains a difference, or why one gives a number where the other gives none."""


class Difference(NamedTuple):
    """Two lists of values side by side."""

    cases: int
    said: list[float]
    """What the peer says where ours is a Reason."""
    largest: float
    places: list[int]
    """Where the two differ by more than rounding."""


@cache
def fixture() -> dict[str, Any]:
    """Pairs and peers' values."""
    return json.loads(lzma.decompress(FIXTURE.read_bytes()))


@cache
def rows() -> list[Row]:
    """Every measure beside its peer, all settings of one measure in one row."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for column in fixture()["columns"]:
        groups.setdefault(family(column), []).append(column)
    found = [compared(name, columns) for name, columns in groups.items()]
    stems = word_row("Porter stems", "stems", porter_stem)
    return [*found, self_bleu_row(), stems, word_row("WordNet synonyms", "synonyms", alike)]


def family(column: dict[str, Any]) -> str:
    """What is told in one row: a measure, each kind of ROUGE, TER without limit."""
    kind = column["options"].get("kind")
    if kind:
        return f"ROUGE-{kind.removeprefix('rouge')}"
    return column["measure"] + (", edits anywhere" if "beam" in column["options"] else "")


def compared(name: str, columns: Sequence[dict[str, Any]]) -> Row:
    """One measure in all its settings beside the peer."""
    found = [difference(ours(column), column["values"]) for column in columns]
    kind = columns[0]["measure"].split()[-1]
    said = [value for each in found for value in each.said]
    notes = []
    if said:
        values = sorted({f"{value:.9g}" for value in said})
        notes.append(NOTES[kind].format(said=" or ".join(values)))
    if places := {place for each in found for place in each.places}:
        notes.append(beam_note(name, places))
    return Row(
        f"{name} ({len(found)} settings)" if len(found) > 1 else name,
        peer_of(kind),
        sum(each.cases for each in found),
        0,
        len(said),
        max(each.largest for each in found),
        "; ".join(notes),
    )


def beam_note(name: str, places: set[int]) -> str:
    """What explains the differences of TER: how many and how long the texts are."""
    if name.startswith("corpus"):
        return "as for `ter`"
    pairs = [fixture()["pairs"][place] for place in places]
    longest = [max(len(text.split()) for text in (a, *known)) for a, known in pairs]
    return BEAM.format(count=len(places), shortest=min(longest))


def peer_of(kind: str) -> str:
    """Name and version of a measure's peer."""
    name = PEERS.get(kind, "rapidfuzz")
    return f"{name} {fixture()['versions'][name]}"


def difference(ours: Sequence[Any], theirs: Sequence[Any]) -> Difference:
    """Numbers or rows of numbers side by side; the peer's None are left out."""
    said, apart = [], {}
    for place, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if isinstance(a, Reason):
            said.append(round(max(flat(b)), 12))
        elif b is not None:
            apart[place] = max(abs(x - y) for x, y in zip(flat(a), flat(b), strict=True))
    places = [place for place, value in apart.items() if value > ROUNDING]
    return Difference(len(apart), said, max(apart.values(), default=0.0), places)


def flat(value: Any) -> Sequence[float]:
    """A number or a row of numbers as a row."""
    return [value] if isinstance(value, int | float) else list(value)


def ours(column: dict[str, Any]) -> list[Any]:
    """Our values of one column; None where the peer has none."""
    name, options, pairs = column["measure"], column["options"], fixture()["pairs"]
    kind = name.removeprefix("corpus ")
    if kind in ("bleu", "chrf", "ter"):
        how, counts = measure_of(kind, options), counted(kind, json.dumps(options))
        if name == kind:
            return [how.from_counts(row) for row in counts]
        parts = [counts[start : start + 40] for start in range(0, len(pairs), 40)]
        return [score_of_rows(how, part) for part in parts]
    one = scorer_of(name, options)
    asked = zip(pairs, column["values"], strict=True)
    return [None if value is None else one(answer, known) for (answer, known), value in asked]


@cache
def counted(kind: str, options: str) -> list[tuple]:
    """Our counts of every pair under one setting, from which sentences and corpora are scored."""
    how = measure_of(kind, json.loads(options))
    return [how.counts(answer, known) for answer, known in fixture()["pairs"]]


def measure_of(name: str, options: dict[str, Any]) -> Any:
    """Our measure with a peer's options."""
    renamed = {NAMES.get(key, key): value for key, value in options.items()}
    if name == "rouge":
        return Rouge(kind=options["kind"].removeprefix("rouge"), stemmer=options["stemmer"])
    if name == "meteor":
        return Meteor(alignment="nltk", tokeniser="none", **options)
    if name == "ter":
        renamed.pop("beam", None)
        return Ter(punctuation=not renamed.pop("no_punct", False), **renamed)
    return {"bleu": Bleu, "chrf": Chrf}[name](**renamed)


def scorer_of(name: str, options: dict[str, Any]) -> Callable[[str, list[str]], Any]:
    """What gives our value of one answer and its references."""
    if name in PEERS:
        return measure_of(name, options).sentence
    unit = options["unit"]
    if name == "edits":
        rate = ErrorRate(unit=unit, normalise="none")
        return lambda answer, known: rate.counts(answer, known[:1])[:3]
    function = getattr(edit, name)
    if name in ("edit_similarity", "indel_similarity"):
        return lambda answer, known: function(answer, known[0], unit)
    return lambda answer, known: function(
        units_of_text(answer, unit), units_of_text(known[0], unit)
    )


def self_bleu_row() -> Row:
    """Self-BLEU of groups of 20 answers."""
    pairs, found = fixture()["pairs"], []
    for start in range(0, 400, 20):
        texts = [text for a, known in pairs[start : start + 10] for text in (a, known[0])]
        found.append(self_bleu(texts))
    apart = difference(found, fixture()["self_bleu"])
    return Row("self-BLEU", peer_of("bleu"), apart.cases, 0, len(apart.said), apart.largest, "")


def alike(word: str) -> str:
    """A word's synonyms of small letters, in a line."""
    return " ".join(sorted(name for name in synonyms(word) if name == name.lower()))


def word_row(name: str, key: str, told: Callable[[str], str]) -> Row:
    """What is said of every word, by digests: the difference is the number of wrong letters."""
    digests: dict[str, Any] = {}
    cases = 0
    for word in known_words():
        digest = digests.setdefault(word[0], hashlib.sha256())
        for ending in ENDINGS if len(word) % 4 == 0 else ENDINGS[:1]:
            digest.update(f"{word}{ending} {told(word + ending)}\n".encode())
            cases += 1
    expected = fixture()[key]
    wrong = [k for k in expected if k not in digests or digests[k].hexdigest() != expected[k]]
    return Row(name, peer_of("meteor"), cases, 0, 0, float(len(wrong)), "")


def known_words() -> list[str]:
    """Every word of the table of WordNet in lower case, irregular forms included."""
    found: set[str] = set()
    for part in wordnet._load_wordnet().values():
        found.update(part.synset_indices, part.irregular)
        found.update(base.lower() for bases in part.irregular.values() for base in bases)
    return sorted(found)
