"""Code that nobody wrote here: generated, minified and vendored files.

A marker of generated code counts only in a comment and near the top, so code that looks for such
markers stays. Names and folders settle lock files, parser tables and third-party trees. What is
minified is told by its lines: long ones, with little space outside comments, and statements that
follow one another without any.
Knows nothing of duplicates (see the corpus room) and of data in code (see data.py).
"""

import re
from pathlib import Path, PurePosixPath

from groundup.core import Config

from ..record import PASS, Record, Ruling
from .language import named_language, tables
from .lexing import comments, without


def alternatives(kind: str) -> re.Pattern[str]:
    """All patterns of a kind in origin.txt as one."""
    text = (Path(__file__).parent / "origin.txt").read_text(encoding="utf-8")
    rows = (line.partition("\t") for line in text.splitlines() if not line.startswith("#"))
    return re.compile("|".join(row[2] for row in rows if row[0] == kind), re.IGNORECASE)


GENERATED_NAMES = alternatives("name")
MARKER = alternatives("marker")
VENDORED = alternatives("vendored")
SQUEEZED = ("javascript", "typescript", "css")
# Comments of a file whose syntax is not known: lines that begin with one of these.
COMMENT_LINE = re.compile(
    r"^[ \t]*(?:[%#;*\"!]|//|--|/\*|<!--|\.\\\"|\{#|REM\b|dnl\b)[^\n]*", re.MULTILINE
)
# What makes a marker a mention of one: words before it in its sentence, an opened quotation, or in
# a docstring a comment's sign.
MENTION = re.compile(
    r"\b(?:whether|if|when|unless|not|never|detect(?:s|ed|ing)?|checks?(?: for| that)|looks? for"
    r"|skips|skipping|ignores|ignoring|recogni[sz]es?|finds|matches|matching|markers?|such as|like"
    r"|e\.g\.)\b"
    r"|[\"'`“‘](?://|\#|/\*)?[ ]?$",
    re.IGNORECASE,
)
# A comment quoted in a docstring, or in a comment.
FOREIGN = (re.compile(r"(?://|#|/\*)[^\w\n]*$"), re.compile(r"[*#/;][ \t]+(?://|#)[^\w\n]*$"))
COMMENT_OPENS = re.compile(r"[rRuU]?(?:\"\"\"|''')?[/*#;%!<>\s-]*")
SENTENCE = re.compile(r"[.!?;](?=\s)|\n[ \t*/#;%!-]*\n")
# Folders whose names have meanings of their own, and where they have them: sellers in a shop's
# application, packages of Java, pages of documentation about what lies outside.
AMBIGUOUS = re.compile(r"(?:^|/)(?:vendors?|externals?|extern|deps)/$", re.IGNORECASE)
OWN_BEFORE = re.compile(r"(?:^|/)(?:docs?|documentation|man)/", re.IGNORECASE)
JVM_FILE = re.compile(r"\.(?:java|kt|scala|groovy|clj)$")
JVM_PACKAGE = re.compile(r"(?:^|/)(?:java|kotlin|scala|com|org|net|io|edu|gov|dev|[a-z]{2})/")
APPLICATION = re.compile(
    r"(?:models|views|urls|admin|apps|forms|tests|serializers|signals|tasks|schemas|services|routes"
    r"|api|types|utils|controllers?)\.(?:py|rb|php|ts|js)$"
    r"|(?:migrations|templates|tests|management|templatetags|views|models|serializers|api)/"
)
TABLES = re.compile(
    r"\b(?:yy(?:table|defact|pact|pgoto|defgoto|translate|check)|yy_(?:accept|ec|meta|nxt|chk)"
    r"|_lr_(?:action|goto)_items|_lr_signature|serializedATN|peg\$(?:parse|SyntaxError))\b"
)


# The end of a statement right before code; brackets that close and quotes say nothing.
TIGHT = re.compile(r"[;}](?=[^\s;,)}\]\"'`])")


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
    """Characters of a mean line of JavaScript and CSS outside comments above which the file is
    minified, if it has little space. Source: linguist's generated.rb."""
    mean_line_tight: float = 60.0
    """The same where most statements follow without a space. Source: own."""
    tight_share: float = 0.5
    """Share of `;` and `}` right before code from which most do; half of it is asked where
    lines are longer than `mean_line`. Source: own, on npm's files: eleven squeezed ones have .49
    to .82, sixty written ones up to .21."""
    mean_line_elsewhere: float = 500.0
    """The same for other languages. Source: own, on the development half of code_labels.txt."""
    space_share: float = 0.15
    """Share of white space outside comments below which it has little. Source: own; squeezed code
    has .02 to .10, written code .15 to .35."""
    digit_share: float = 0.25
    """Share of digits from which long lines are a table instead (see data.py). Source: own."""
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
        language = named_language(record)
        places = [(piece.start, piece.end) for piece in comments(top, language)]
        if not tables().syntax.get(language):
            places = [found.span() for found in COMMENT_LINE.finditer(top)]
        block = last = said = 0
        for start, end in places:
            if top[last:start].strip() or "\n\n" in top[last:start]:
                block = start  # lines of comments that follow each other are read as one
            last = end
            for found in MARKER.finditer(top, start, end):
                if is_mention(top, block, found):
                    said = top.find("\n", found.end()) % (len(top) + 1)  # the rest of its line
                elif found.start() >= said:
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
        language = named_language(record)
        least = config.mean_line_tight if language in SQUEEZED else config.mean_line
        if len(text) < max(config.min_characters, least * text.count("\n")):
            return PASS
        code = without(text, comments(text, language)).strip()
        if len(code) < config.min_characters:
            return PASS
        mean = len(code) / (code.count("\n") + 1)
        space = sum(map(code.count, " \t\n\r")) / len(code)
        digits = sum(map(code.count, "0123456789")) / len(code)
        limit = config.mean_line_elsewhere
        if language in SQUEEZED:
            tight = tight_share(code)
            limit = config.mean_line if tight >= config.tight_share / 2 else mean
            limit = config.mean_line_tight if tight >= config.tight_share else limit
        if mean > limit and space < config.space_share and digits < config.digit_share:
            return Ruling("code: minified", mean, f"characters a line, {space:.0%} space")
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
        found = VENDORED.search(record.path)
        while found and is_own(record.path, found):
            found = VENDORED.search(record.path, found.end() - 1)
        return Ruling("code: vendored", details=found[0].strip("/")) if found else PASS


def tight_share(code: str) -> float:
    """Share of the ends of statements that are right before code.

    >>> round(tight_share("a();b();if(c){d()}"), 3), tight_share("a();\\nif (c) {\\n  d();\\n}")
    (0.667, 0.0)
    """
    marks = sum(map(code.count, ";}"))
    return len(TIGHT.findall(code)) / marks if marks else 1.0


def is_mention(text: str, start: int, found: re.Match[str]) -> bool:
    """Whether a marker in the comment from `start` is spoken of rather than set.

    >>> said, set = "# Checks whether a file was automatically generated", "# @generated"
    >>> [is_mention(text, 0, MARKER.search(text)) for text in (said, set)]
    [True, False]
    """
    at = found.start() + len(found[0]) - len(found[0].lstrip(" \t/*#;%!-"))
    opens = COMMENT_OPENS.match(text, start, max(start, at))
    assert opens is not None
    before = text[max(opens.end(), at - 300) : at]
    foreign = FOREIGN[not opens[0].lstrip("rRuU").startswith(("'", '"'))]
    return bool(MENTION.search(SENTENCE.split(before)[-1]) or foreign.search(before))


def is_own(path: str, found: re.Match[str]) -> bool:
    """Whether a folder that could hold others' code is by its place the project's own.

    >>> is_own("com/vendor/Foo.java", VENDORED.search("com/vendor/Foo.java"))
    True
    """
    if not AMBIGUOUS.search(found[0]):
        return False
    before, after = path[: found.start() + 1], path[found.end() :]
    if JVM_FILE.search(after):
        return JVM_PACKAGE.search(before) is not None
    is_page = not after.endswith((".js", ".css")) and OWN_BEFORE.search(before)
    return bool(is_page or APPLICATION.match(after))


def first_lines(text: str, lines: int) -> str:
    """The first lines of a text, 300 characters a line at most on average."""
    return "\n".join(text[: lines * 300].split("\n", lines)[:lines])
