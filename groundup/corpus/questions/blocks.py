"""Blocks of lines of a page, and classification of lines: signature, option, prose, action.

Everything here considers one block or line; entries.py knows its context. The patterns of the whole
folder are data, patterns.toml.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from groundup.documents import Record, join_lines, read_patterns

TABLES = read_patterns(Path(__file__).with_name("patterns.toml"))
PATTERNS: dict[str, re.Pattern[str]] = {}
ALTERNATIVES: dict[str, list[re.Pattern[str]]] = {}
"""Lists of patterns, of which the first match counts."""
for _table in ("patterns", "lines", "checks"):
    for _name, _written in TABLES[_table].items():
        if isinstance(_written, list):
            ALTERNATIVES[_name] = [re.compile(join_lines(one)) for one in _written]
        else:
            PATTERNS[_name] = re.compile(join_lines(_written))
WORDS = {name: frozenset(written.split()) for name, written in TABLES["words"].items()}
NAME = TABLES["fragments"]["NAME"]
BULLET = r"(?:[-*+•]|\d{1,2}[.)]) "


class LineBlock(NamedTuple):
    """Consecutive lines that are not empty."""

    start: int
    end: int
    indent: int
    lines: tuple[str, ...]
    """Stripped."""


def split_line_blocks(text: str, start: int = 0, end: int | None = None) -> Iterator[LineBlock]:
    """Yield the blocks of `text[start:end]`, each list item alone, no fenced code or comments."""
    bare = PATTERNS["fenced"].sub(lambda fence: re.sub(r"[^\n]", " ", fence[0]), text[start:end])
    for found in PATTERNS["block"].finditer(bare):
        whole = found[0]
        first = found.start() + len(whole) - len(whole.lstrip())
        indent = first - (bare.rfind("\n", 0, first) + 1)
        lines = tuple(line.strip() for line in whole.strip().split("\n"))
        yield LineBlock(start + first, start + found.start() + len(whole.rstrip()), indent, lines)


def is_prose_block(block: LineBlock, kind: str) -> bool:
    """Whether a block is a paragraph of sentences."""
    first, last = block.lines[0], block.lines[-1]
    if PATTERNS["version_directive"].match(first):
        return True
    if PATTERNS["boilerplate"].match(first) or re.match(BULLET, first) or block.indent > 40:
        return False
    is_whole = kind != "html" or len(block.lines) == 1  # a page's paragraph stands on one line
    begins = PATTERNS["sentence"].match(first) or re.match(r"[A-Z0-9“\"‘(`*:]", first)
    ends = last.endswith((".", ")", ":", "!", "?", "”"))
    return bool(
        is_whole and begins and ends and len(first.split()) > 2 and not match_signature(first)
    )


def match_signature(line: str) -> re.Match[str] | None:
    """The match of PATTERNS["call"] if a line declares, and does not call, a function or class."""
    found = PATTERNS["call"].fullmatch(line)
    parameters = signature_parameters(found["arguments"]) if found else []
    return found if all(map(PATTERNS["argument"].fullmatch, parameters)) else None


def signature_parameters(arguments: str) -> list[str]:
    """The parameters of a signature, without the brackets of optional ones."""
    bare = re.sub(r"\[(?=,|\w+[\],])|(?<=\w)\]+(?=[,\[\]]|$)", "", arguments)
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(bare + ","):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth <= 0:
            parts.append(bare[start:place].strip())
            start = place + 1
    return [part for part in parts if part]


def option_name(head: str) -> str:
    """The most descriptive name of an option; empty if there is none."""
    names = PATTERNS["option_name"].findall(head.replace("[no-]", ""))
    return max(names, key=lambda name: (not name.startswith("--no-"), len(name)), default="")


def is_description(line: str) -> bool:
    """Whether a line describes a function or class, like the first one under a signature."""
    return bool(PATTERNS["describes"].match(line)) or is_action(line)


def is_preformatted_block(document: Record, block: LineBlock) -> bool:
    """Whether a block of an HTML page is preformatted: its line ends are in the file."""
    text, first = document.text, max(block.start - 1, 0)
    breaks = [at for at in range(first, block.end + 1) if text[at : at + 1] == "\n"]
    breaks += [first] * (text[first] == " ")
    return document.kind == "html" and any(document.map.segment_at(at).exact for at in breaks)


def may_be_entry_head(block: LineBlock) -> bool:
    """Whether a block could be a name that the following text explains."""
    line = block.lines[0]
    return len(block.lines) == 1 and len(line) < 120 and not re.search(r"[.:,;!?»>]$|^[>$#|]", line)


def is_action(text: str) -> bool:
    """Whether a sentence states what something does, like `Copies the file`."""
    return is_verb(text.partition(" ")[0]) and not PATTERNS["noun_phrase"].match(text)


def is_verb(word: str) -> bool:
    """Whether a word is a verb of description, in the base form or the third person."""
    word = word.lower()
    stems = (word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("ies") + "y")
    return any(stem in WORDS["verbs"] for stem in stems)
