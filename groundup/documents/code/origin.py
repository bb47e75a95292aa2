"""Code that nobody wrote here: generated, minified and vendored files.

A marker of generated code counts only in a comment and near the top, so code that looks for such
markers stays. Names and folders settle lock files, parser tables and third-party trees. What is
minified is told by its lines: long ones, with little space outside comments and strings.
Knows nothing of duplicates (see the corpus room) and of data in code (see data.py).
"""

import re
from pathlib import Path, PurePosixPath

from groundup.core import Config

from ..record import PASS, Record, Ruling
from .language import named_language
from .lexing import comments, without


def alternatives(kind: str) -> re.Pattern[str]:
    """All patterns of a kind in origin.txt as one."""
    text = (Path(__file__).parent / "origin.txt").read_text(encoding="utf-8")
    rows = (line.partition("\t") for line in text.splitlines() if not line.startswith("#"))
    return re.compile("|".join(row[2] for row in rows if row[0] == kind), re.IGNORECASE)


GENERATED_NAMES = alternatives("name")
MARKER = alternatives("marker")
VENDORED = alternatives("vendored")
TABLES = re.compile(
    r"\b(?:yy(?:table|defact|pact|pgoto|defgoto|translate|check)|yy_(?:accept|ec|meta|nxt|chk)"
    r"|_lr_(?:action|goto)_items|_lr_signature|serializedATN|peg\$(?:parse|SyntaxError))\b"
)


class GeneratedConfig(Config):
    """When a file counts as generated."""

    lines: int = 40
    """Lines from the top in which a marker counts. Source: Go's rule wants it before the package
    clause, StarCoder2 looks at 5 lines; licence headers of 30 lines push it down."""
    tables: int = 3
    """Names of parser tables, different or not, that make a file a parser's output. Source: own."""


class MinifiedConfig(Config):
    """When a file counts as minified."""

    mean_line: float = 110.0
    """Characters of a mean line of JavaScript, CSS and markup outside comments above which the file
    is minified. Source: linguist's generated.rb."""
    long_line: int = 500
    """Characters from which a line is long. Source: own."""
    long_share: float = 0.5
    """Share of characters in long lines above which a file of any language is minified, if it has
    little space. Source: own."""
    space_share: float = 0.12
    """Share of white space outside comments below which it has little. Source: own; written code
    has .15 to .35."""
    min_characters: int = 200
    """Shorter files are never minified. Source: own."""


class VendoredConfig(Config):
    """Which paths hold others' code."""

    also: tuple[str, ...] = ()
    """Further folders or files, as they stand in paths, such as `src/imported/`."""
    never: tuple[str, ...] = ()
    """Folders that are not vendored, such as `vendor/` in a shop's code."""


class Generated:
    """Step: drops what a program wrote."""

    def __init__(self, config: GeneratedConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Rule about one record."""
        name = PurePosixPath(record.path).name.lower()
        if GENERATED_NAMES.fullmatch(name):
            return Ruling("code: generated", details=f"its name, {name}")
        if found := self.marker(record):
            return Ruling("code: generated", details=f"marker: {found}")
        if record.kind == "notebook" or record.kind == "markdown":
            return PASS
        if len(found := TABLES.findall(record.text[:100_000])) >= self.config.tables:
            return Ruling("code: generated", details=f"parser tables: {', '.join(found[:3])}")
        return PASS

    def marker(self, record: Record) -> str:
        """The marker in a comment near the top, or nothing."""
        top = first_lines(record.text, self.config.lines)
        if not MARKER.search(top):
            return ""
        for piece in comments(top, named_language(record)):
            if found := MARKER.search(top, piece.start, piece.end):
                return " ".join(found[0].split())[:100]
        return ""


class Minified:
    """Step: drops code that was squeezed for transport."""

    def __init__(self, config: MinifiedConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Rule about one record."""
        config, text = self.config, record.text
        name = record.path.lower()
        if re.search(r"[.-]min\.(?:js|css|mjs|cjs|html)$", name):
            return Ruling("code: minified", details="its name")
        long = sum(len(line) for line in text.split("\n") if len(line) >= config.long_line)
        if len(text) < config.min_characters or long == 0:
            return PASS
        language = named_language(record)
        code = without(text, comments(text, language)).strip()
        if len(code) < config.min_characters:
            return PASS
        mean = len(code) / (code.count("\n") + 1)
        space = sum(map(code.count, " \t\n\r")) / len(code)
        if space < config.space_share and long > config.long_share * len(text):
            return Ruling("code: minified", space, f"{mean:.0f} characters a line")
        if language in ("javascript", "typescript", "css") and mean > config.mean_line:
            return Ruling("code: minified", mean, f"mean line over {config.mean_line:.0f}")
        return PASS


class Vendored:
    """Step: drops copies of others' code, by the path."""

    def __init__(self, config: VendoredConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Rule about one record."""
        if any(part in record.path for part in self.config.never):
            return PASS
        if any(part in record.path for part in self.config.also):
            return Ruling("code: vendored", details="named in the pipeline")
        if found := VENDORED.search(record.path):
            return Ruling("code: vendored", details=found[0].strip("/"))
        return PASS


def first_lines(text: str, lines: int) -> str:
    """The first lines of a text, 300 characters a line at most on average."""
    return "\n".join(text[: lines * 300].split("\n", lines)[:lines])
