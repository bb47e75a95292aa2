"""SentencePiece's normalisation: what happens to a text before segmentation.

`tokenizers` has the same rules but applies them per grapheme cluster: a ligature fi followed by a
combining accent is one cluster without a rule and stays unchanged. SentencePiece scans from the
left and applies the longest rule at each position. It also leaves its user-defined pieces
unchanged, some of which `tokenizers` would normalise to nothing and then fail.

The rules are a double-array trie (Aoe 1989; github.com/s-yata/darts-clone) of UTF-8 sequences with
their replacements: a child is stored at the node's offset XOR the child's byte and labelled with
that byte. Source: sentencepiece, normalizer.cc.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from groundup.core import DataError

from .spelling import SPACE_MARK

ASCII = range(1, 128)
MAX_NODES, MAX_SEQUENCE_BYTES = 2**16, 256
"""Maximum nodes below ASCII characters, and bytes that a rule replaces, of a valid trie."""
IS_LEAF, VALUE, LABEL = 1 << 8, 0x7FFFFFFF, 0x800000FF
"""Bit fields of a trie unit."""
DAMAGED = "The charsmap of a SentencePiece model is damaged ({}); get the model again."


class NormalizedWithRanges(NamedTuple):
    """A normalised text, and the original range of each of its characters."""

    text: str
    places: list[tuple[int, int]]


class Replacement(NamedTuple):
    """Replace `size` characters by a text."""

    size: int
    text: str


class CharsmapRules:
    """The rules of a compiled charsmap; DataError if it is damaged."""

    def __init__(self, charsmap: bytes) -> None:
        size = int.from_bytes(charsmap[:4], "little")
        if charsmap and (len(charsmap) < 4 + size or size % 4 or not size):
            raise DataError(DAMAGED.format(f"its trie has {size} of {len(charsmap)} bytes"))
        self.units = np.frombuffer(charsmap, "<u4", size // 4, min(4, len(charsmap))).tolist()
        self.texts = charsmap[4 + size :]
        self.root = _child_offset(self.units[0]) if self.units else 0
        self.first: dict[str, tuple[str | None, int]] = {}
        """Cache: result of a single character (None: no rule) and its node."""

    def child(self, node: int, character: str) -> tuple[str | None, int]:
        """Result of a rule that ends with this character, and its node; -1 if there is none."""
        unit = 0
        for byte in character.encode():
            node ^= byte
            unit = self.units[node] if node < len(self.units) else -1
            if unit & LABEL != byte:
                return None, -1
            node ^= _child_offset(unit)
        return self.replacement_text(node) if unit & IS_LEAF else None, node

    def replacement_text(self, node: int) -> str:
        """The replacement at which a rule ends."""
        at = self.units[node] & VALUE if node < len(self.units) else len(self.texts)
        end = self.texts.find(b"\0", at)
        if end < 0:
            raise DataError(DAMAGED.format("a text in it does not end"))
        return self.texts[at:end].decode("utf-8", "replace")

    def longest_match(self, text: str, place: int) -> Replacement:
        """The longest rule at a position, or the character unchanged."""
        character = text[place]
        if (found := self.first.get(character)) is None:
            found = self.first[character] = self.child(self.root, character)
        shown, node = found
        step, at = Replacement(1, character if shown is None else shown), place + 1
        while node >= 0 and at < len(text):
            shown, node = self.child(node, text[at])
            at += 1
            if shown is not None:
                step = Replacement(at - place, shown)
        return step

    def ascii_sequences(self) -> Iterator[str]:
        """Yield the replaced sequences that begin with an ASCII character.

        DataError if the trie is damaged.
        """
        units = np.array(self.units, np.int64)
        todo, seen, labels = [(self.root, b"")], 0, np.arange(1, 256)
        while todo and self.units:
            node, key = todo.pop()
            tried = node ^ (labels if key else labels[: ASCII.stop - 1])
            tried = tried[tried < len(units)]
            found = tried[units[tried] & LABEL == tried ^ node]
            seen += len(found)
            if seen > MAX_NODES or len(key) > MAX_SEQUENCE_BYTES:
                raise DataError(DAMAGED.format("its trie is none"))
            for child in found.tolist():
                longer = key + bytes([child ^ node])
                todo.append((child ^ _child_offset(self.units[child]), longer))
                if self.units[child] & IS_LEAF:
                    yield longer.decode("utf-8", "replace")


def _child_offset(unit: int) -> int:
    """Offset of a node's children."""
    return (unit >> 10) << ((unit & 512) >> 6)


class Normaliser:
    """The normalisation of one model.

    charsmap   its rules; empty changes nothing
    prefix     whether a space is put before the text
    squeezed   spaces at the ends are removed and runs of them collapsed
    protected  user-defined pieces, which stay unchanged

    >>> Normaliser(b"", prefix=True, squeezed=True).normalize("  a  b ")
    '▁a▁b'

    Raises DataError if the charsmap is damaged.
    """

    def __init__(
        self, charsmap: bytes, *, prefix: bool, squeezed: bool, protected: Sequence[str] = ()
    ) -> None:
        self.charsmap, self.prefix, self.squeezed = charsmap, prefix, squeezed
        self.protected = sorted(filter(None, protected), key=len, reverse=True)
        self.known = frozenset(self.protected)
        self.lengths: dict[str, list[int]] = {}
        """Lengths of the user-defined pieces by first character, longest first."""
        for first, size in dict.fromkeys((one[0], len(one)) for one in self.protected):
            self.lengths.setdefault(first, []).append(size)
        self.rules = CharsmapRules(charsmap)
        changing = {*self.rules.ascii_sequences()}
        back = max(map(len, changing), default=1) - 1
        touched = {one for one in changing if len(one) == 1}
        touched |= {character for one in changing for character in one[1:]} & {*map(chr, ASCII)}
        inside = "".join(map(re.escape, sorted(touched))) + r"\x00\x80-\U0010ffff"
        self.runs = re.compile(rf"[\s\S]{{0,{back}}}?[{inside}]+")
        """Where a rule may begin: elsewhere are ASCII characters that no rule changes."""

    def normalize(self, text: str) -> str:
        """The normalised text with marked spaces."""
        if self.protected:
            return self.normalize_aligned(text).text
        found = self.apply_rules(text) if self.charsmap else text
        if self.squeezed:
            found = re.sub(" {2,}", " ", found.lstrip(" "))
        if not found and (self.squeezed or not text):
            return ""
        found = SPACE_MARK * self.prefix + found.replace(" ", SPACE_MARK)
        return found.rstrip(SPACE_MARK) if self.squeezed else found

    def apply_rules(self, text: str) -> str:
        """The text with its rules applied."""
        found, place = [], 0
        while run := self.runs.search(text, place):
            found.append(text[place : run.start()])
            place = run.start()
            while place < run.end():
                step = self.rules.longest_match(text, place)
                found.append(step.text)
                place += step.size
        return "".join([*found, text[place:]])

    def normalize_aligned(self, text: str) -> NormalizedWithRanges:
        """The normalised text, character by character, with original positions."""
        steps = [*self.steps(text)]
        first = 0
        while self.squeezed and first < len(steps) and steps[first].text == " ":
            first += 1
        if first == len(steps):
            return NormalizedWithRanges("", [])
        place = sum(step.size for step in steps[:first])
        shown, places = [SPACE_MARK] * self.prefix, [(place, place)] * self.prefix
        was_space = self.squeezed
        for size, kept in steps[first:]:
            kept = kept.lstrip(" ") if was_space else kept
            shown += kept.replace(" ", SPACE_MARK)
            places += [(place, place + size)] * len(kept)
            was_space = self.squeezed and (kept.endswith(" ") if kept else was_space)
            place += size
        found = "".join(shown)
        found = found.rstrip(SPACE_MARK) if self.squeezed else found
        return NormalizedWithRanges(found, places[: len(found)])

    def steps(self, text: str) -> Iterator[Replacement]:
        """Yield the steps from left to right; user-defined pieces stay unchanged."""
        place = 0
        while place < len(text):
            sizes = self.lengths.get(text[place], ())
            ends = (place + size for size in sizes)
            same = next((text[place:end] for end in ends if text[place:end] in self.known), "")
            step = Replacement(len(same), same) if same else self.rules.longest_match(text, place)
            yield step
            place += step.size
