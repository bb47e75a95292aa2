"""Noise as scanners and OCR make it, written without a look at what cleans it.

    python -m benchmarks.documents.ocr_noise FILE --rate 0.05 --seed 1

Confusions of shapes (rn and m, l and 1, cl and d …), lost and put-in spaces, specks, broken words
at line ends, dropped and doubled letters, wrong case, in the proportions that published tables of
OCR errors give: about three of four are confusions of shape, one of six is a space, the rest are
marks and losses. Every change is told with its place, so that a repair can be judged.
"""

import argparse
import random
import re
from pathlib import Path
from typing import NamedTuple


class Change(NamedTuple):
    """A slice of the noisy text and what stood there."""

    start: int
    end: int
    original: str


class Noisy(NamedTuple):
    """A text after noise."""

    text: str
    changes: list[Change]


SHAPES = {
    "rn": ["m"], "m": ["rn", "in", "nn"], "cl": ["d"], "d": ["cl"], "li": ["h"], "h": ["li", "b"],
    "vv": ["w"], "w": ["vv"], "nn": ["m"], "ri": ["n"], "ii": ["u", "n"], "fi": ["ﬁ"], "fl": ["ﬂ"],
    "l": ["1", "I", "i", "|"], "I": ["l", "1"], "1": ["l", "I"], "i": ["l", "j", "1"],
    "O": ["0"], "o": ["0", "c"], "0": ["O", "o"], "e": ["c", "o"], "c": ["e", "o"], "a": ["u", "o"],
    "u": ["n", "ii"], "n": ["u", "ri"], "t": ["f", "l"], "f": ["t"], "b": ["h", "6"], "6": ["b"],
    "s": ["5", "8"], "S": ["5", "8"], "5": ["S", "s"], "8": ["B", "S"], "B": ["8", "R"],
    "g": ["q", "9"], "q": ["g"], "y": ["v"], "v": ["y"], "r": ["n"], "D": ["O"], "G": ["C", "6"],
    "Z": ["2"], "2": ["Z"], "E": ["F", "B"], "T": ["I"], ".": [",", "·"], ",": [".", "'"],
    ";": [":"], ":": [";"], "-": ["—", "~"], "'": ["`", ","], '"': ["''", "“"],
}  # fmt: skip
SPECKS = ["·", "'", ",", ".", "`", "^", "~", "*", "|", "¬", "_"]
SHAPE, SPACE_LOST, SPACE_IN, SPECK, LOST, DOUBLED = 0.74, 0.08, 0.08, 0.04, 0.03, 0.03


def noisy(text: str, rate: float, seed: int) -> Noisy:
    """The text with errors in about `rate` of its words.

    >>> noisy("plain modern words", 0.0, 1).text
    'plain modern words'
    """
    rng = random.Random(f"{seed}:{rate}")
    pieces: list[str] = []
    changes: list[Change] = []
    length = 0

    def put(piece: str, original: str | None = None) -> None:
        nonlocal length
        if original is not None and piece != original:
            changes.append(Change(length, length + len(piece), original))
        pieces.append(piece)
        length += len(piece)

    for match in re.finditer(r"\S+|\s+", text):
        word = match[0]
        if word.isspace():
            put(word)
        elif rng.random() < rate:
            put(corrupt(word, rng), word)
        else:
            put(word)
    return Noisy("".join(pieces), changes)


def corrupt(word: str, rng: random.Random) -> str:
    """A word with one error, now and then two."""
    for _ in range(1 if rng.random() < 0.85 else 2):
        kind = rng.choices(
            ["shape", "join", "part", "speck", "lost", "doubled"],
            [SHAPE, SPACE_LOST, SPACE_IN, SPECK, LOST, DOUBLED],
        )[0]
        word = one_error(word, kind, rng)
    return word


def one_error(word: str, kind: str, rng: random.Random) -> str:
    """A word with one error of a kind; as it is where the kind has no place."""
    at = rng.randrange(len(word))
    if kind == "shape":
        places = [
            (i, shape) for i in range(len(word)) for shape in SHAPES if word.startswith(shape, i)
        ]
        if not places:
            return word
        at, shape = rng.choice(places)
        return word[:at] + rng.choice(SHAPES[shape]) + word[at + len(shape) :]
    if kind == "part" and len(word) > 3:
        at = rng.randrange(1, len(word) - 1)
        return word[:at] + rng.choice([" ", " ", "-\n"]) + word[at:]
    if kind == "speck":
        return word[:at] + rng.choice(SPECKS) + word[at:]
    if kind == "lost" and len(word) > 2:
        return word[:at] + word[at + 1 :]
    if kind == "doubled":
        return word[:at] + word[at] + word[at:]
    return word.swapcase() if kind == "join" and rng.random() < 0.3 else word


def pages(text: str, lines: int, width: int, seed: int, title: str = "THE WHOLE WORK") -> str:
    """The text set in lines and pages with running heads, numbers and broken words, for tests.

    Left pages carry the title, right ones the chapter's first words; numbers stand above or below.
    """
    rng = random.Random(seed)
    set_lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        set_lines += [*broken(paragraph.split(), width, rng), ""]
    below = rng.random() < 0.5
    out = []
    for number, start in enumerate(range(0, len(set_lines), lines), start=rng.randint(1, 40)):
        body = set_lines[start : start + lines]
        head = title if number % 2 == 0 else " ".join(body[0].split()[:3]).upper()
        first = head.center(width).rstrip() if below else f"{head}  {number}".center(width).rstrip()
        out.append("\n".join([first, "", *body, *(["", str(number).center(width)] * below)]))
    return "\f".join(out)


def broken(words: list[str], width: int, rng: random.Random) -> list[str]:
    """Words in lines of a width, some broken at line ends with a hyphen."""
    lines, line = [], ""
    for word in words:
        room = width - len(line) - 1
        if len(line) + 1 + len(word) <= width or not line:
            line = f"{line} {word}".strip()
        elif len(word) > 6 and room > 4 and word.isalpha() and rng.random() < 0.6:
            at = rng.randint(3, min(room - 1, len(word) - 3)) if room > 4 else 3
            lines.append(f"{line} {word[:at]}-")
            line = word[at:]
        else:
            lines.append(line)
            line = word
    return [*lines, line] if line else lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(noisy(given.file.read_text(encoding="utf-8"), given.rate, given.seed).text)
