"""Blocks of lines of a page, and classification of lines: signature, option, prose.

Everything here considers one block or line; entries.py knows its context.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from groundup.documents import Document

from .verbs import is_action

NAME = r"[A-Za-z_]\w*(?:\.\w+)*"
CALL = re.compile(
    r"@?(?:(?P<what>class|exception|classmethod|staticmethod|async|awaitable|coroutine|method|"
    r"function|abstractmethod|final|type)\s+)*"
    r"(?!(?:def|return|raise|yield|await|print|for|if|import|from|with|assert)\b)"
    rf"(?:(?:[A-Za-z_]\w*[ *]+){{1,4}})?(?P<name>{NAME})\((?P<arguments>.*)\)"
    r"(?:\s*(?:→|->)\s*[\w.\[\], |]+)?:?\s*[#¶]?"
)
BARE_NAME = re.compile(
    rf"(?P<what>class|exception)\s+(?P<name>{NAME})|(?P<value>[a-z_]\w*(?:\.\w+)+)"
)
ARGUMENT = re.compile(
    r"\*{0,2}[A-Za-z_][\w.]*(?:(?:\s|\s?\*+)\s?\*?[A-Za-z_]\w*)*(?:\[\])?(?::\s?[^=]+?)?"
    r"(?:\s?=\s?.+)?|/|\*|\.\.\.|…"
)
OPTION = re.compile(r"--?[A-Za-z0-9?\[][^.!?:;]{0,70}(?:::)?")
OPTION_NAME = re.compile(r"--[A-Za-z](?:\w|-(?=\w))*|(?<![\w-])-[A-Za-z0-9?](?![\w-])")
SETTING = re.compile(
    rf"(?P<name>{NAME}) \((?:integer|boolean|bool|enum|string|floating point|float|number|text|"
    r"list)\)\s*#?"
)
TERM = re.compile(r"\w[\w-]*(?:::)?|[A-Za-z][a-z-]*(?: [A-Za-z][a-z-]*){1,3}(?:::)?")
ADMONITION = re.compile(r"(?:Note|Warning|Tip|Caution|Important|See also|Example|Danger)\b.{0,3}$")
DEFAULT_LINE = re.compile(r"\**[Dd]efault\**:\** \S")
INTRODUCES_EXAMPLE = re.compile(
    r".*\b[Ee]xamples?\b.*:$|(?!.*\b(?:following|functions?|methods?|class(?:es)?|exceptions?|objects?|"
    r"attributes?|constants?|members?|operations?|defines?|provides?|includes?|are)\b).*:$"
)
"""A line that introduces an example."""
DEFAULTS_FOLLOW = re.compile(r"\bdefaults?(?: values?)?(?: to| are| is)?:$")
"""A paragraph before a list of defaults, which does not explain its names."""
VERSION_DIRECTIVE = re.compile(r"\.\. (?:version(?:added|changed)|deprecated)::")
BOILERPLATE = re.compile(
    r"Part of the (?:Stable|Limited)|Return value: |Availability:|Source code:|Raises an auditing|"
    r"See also|Copyright|Last updated|>>>|\$ |\.\. |\||!!! |This is the documentation"
)
UNDERLINE = re.compile(r"([=\-~^\"'*+#`:.])\1{2,}")
FENCED = re.compile(
    r"^[ \t]*(```+|~~~+).*?(?:^[ \t]*\1|\Z)|<!--.*?-->|^---\n.*?^---\n", re.M | re.S
)
BULLET = r"(?:[-*+•]|\d{1,2}[.)]) "
LINE = r"(?![ \t]*\+?[ \t]*$)[^\n]*(?:\n|\Z)"
BLOCK = re.compile(rf"^{LINE}(?:^(?![ \t]*{BULLET}){LINE})*", re.MULTILINE)
SENTENCE = re.compile(r"[A-Z][\w’'-]*[ ,.]|[a-z_]\w*(?:\(\))? [a-z]|:\w+:|$")
EXPLAINS = re.compile(
    r"(?:Specif|Set|Control|Enabl|Disabl|Determin|Caus|Print|Show|Display|Defin|Limit|Allow|"
    r"Forc|Indicat|Turn|Select|Suppress)\w+s? |(?:An?|The) \w"
)
DESCRIBES = re.compile(
    r"An? \w|Returns? |Same as|Like |Similar|Equivalent|Called|Alias|Deprecated|Changed|Added|New "
    r"in|Th(?:is|e) (?:\w+ )?(?:function|method|class|constructor|exception|decorator|base|object)"
)


class LineBlock(NamedTuple):
    """Consecutive lines that are not empty."""

    start: int
    end: int
    indent: int
    lines: tuple[str, ...]
    """Stripped."""


def split_line_blocks(text: str, start: int = 0, end: int | None = None) -> Iterator[LineBlock]:
    """Yield the blocks of `text[start:end]`, each list item alone, no fenced code or comments."""
    bare = FENCED.sub(lambda fence: re.sub(r"[^\n]", " ", fence[0]), text[start:end])
    for found in BLOCK.finditer(bare):
        whole = found[0]
        first = found.start() + len(whole) - len(whole.lstrip())
        indent = first - (bare.rfind("\n", 0, first) + 1)
        lines = tuple(line.strip() for line in whole.strip().split("\n"))
        yield LineBlock(start + first, start + found.start() + len(whole.rstrip()), indent, lines)


def is_prose_block(block: LineBlock, kind: str) -> bool:
    """Whether a block is a paragraph of sentences."""
    first, last = block.lines[0], block.lines[-1]
    if VERSION_DIRECTIVE.match(first):
        return True
    if BOILERPLATE.match(first) or re.match(BULLET, first) or block.indent > 40:
        return False
    is_whole = kind != "html" or len(block.lines) == 1  # a page's paragraph stands on one line
    begins = SENTENCE.match(first) or re.match(r"[A-Z0-9“\"‘(`*:]", first)
    ends = last.endswith((".", ")", ":", "!", "?", "”"))
    return bool(
        is_whole and begins and ends and len(first.split()) > 2 and not match_signature(first)
    )


def match_signature(line: str) -> re.Match[str] | None:
    """The match of CALL if a line declares, and does not call, a function or class."""
    found = CALL.fullmatch(line)
    return (
        found
        if found and all(map(ARGUMENT.fullmatch, signature_parameters(found["arguments"])))
        else None
    )


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
    names = OPTION_NAME.findall(head.replace("[no-]", ""))
    return max(names, key=lambda name: (not name.startswith("--no-"), len(name)), default="")


def is_description(line: str) -> bool:
    """Whether a line describes a function or class, like the first one under a signature."""
    return bool(DESCRIBES.match(line)) or is_action(line)


def is_preformatted_block(document: Document, block: LineBlock) -> bool:
    """Whether a block of an HTML page is preformatted: its line ends are in the file."""
    text, first = document.text, max(block.start - 1, 0)
    breaks = [at for at in range(first, block.end + 1) if text[at : at + 1] == "\n"]
    breaks += [first] * (text[first] == " ")
    return document.kind == "html" and any(document.map.segment_at(at).exact for at in breaks)


def may_be_entry_head(block: LineBlock) -> bool:
    """Whether a block could be a name that the following text explains."""
    line = block.lines[0]
    return len(block.lines) == 1 and len(line) < 120 and not re.search(r"[.:,;!?»>]$|^[>$#|]", line)
