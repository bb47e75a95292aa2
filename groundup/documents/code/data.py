"""Data in the clothes of code: encoded runs, tables of numbers, giant literals, odd markup.

Each rule measures a share of the file with one linear pattern, and the number that decided stands
in the ruling. Knows nothing of who made the file (see origin.py).
"""

import re

from groundup.core import Config

from ..record import PASS, Record, Ruling
from .language import named_language
from .lexing import comments, pieces, without

# Runs of encoded data; what a run needs besides its alphabet is asked afterwards.
BASE64 = re.compile(
    r"[A-Za-z0-9+/]{64,}={0,2}"
    r"(?:(?:\\n|[\"'+,\\ \t]){0,8}[\r\n]+[ \t\"'#*]{0,40}[A-Za-z0-9+/]{60,}={0,2})*"
)
HEXES = re.compile(r"(?:(?:\\x|0x)[0-9a-fA-F]{2}[\s,;|\"']{0,4}){8,}|\b[0-9a-fA-F]{64,}\b")
UNICODE = re.compile(r"(?:\\u(?:[0-9a-fA-F]{4}|\{[0-9a-fA-F]{1,6}\})){8,}")
NUMBER = (
    r"[+-]?(?:0[xX][0-9a-fA-F]{1,16}|\d{1,20}(?:\.\d{0,20})?(?:[eE][+-]?\d{1,3})?)[uUlLfF]{0,3}"
)
NUMBERS = re.compile(rf"(?<![\w.])(?:(?>{NUMBER})(?>[\s,;|:{{}}\[\]()]{{1,200}})){{16,}}")


class DataConfig(Config):
    """When a file is data rather than code."""

    encoded_run: int = 1024
    """Characters of one run of base64, hexadecimal or \\u escapes from which the file is data.
    Source: StarCoder2 (arXiv:2402.19173)."""
    encoded_share: float = 0.5
    """Share of the file in such runs of at least 64 characters. Source: StarCoder2."""
    number_share: float = 0.5
    """Share of the file outside comments in lists of 16 numbers or more. Source: own."""
    literal_share: float = 0.8
    """Share of the file outside comments in its longest string literal. Source: own."""
    min_characters: int = 1_000
    """Shares are not asked of shorter files. Source: own."""
    structured_characters: tuple[int, int] = (50, 5_000)
    """JSON shorter or longer is data. Source: DeepSeek-Coder (arXiv:2401.14196), which asks it of
    YAML too; but people write their workflows and deployments in YAML, of any length."""
    yaml_characters: int = 50_000
    """YAML longer is data. Source: own; hand-written configuration stays below."""
    html_visible_share: float = 0.2
    """Share of visible text that HTML must have. Source: StarCoder (arXiv:2305.06161)."""
    html_visible_characters: int = 100
    """Characters of visible text that HTML must have. Source: StarCoder."""


class Data:
    """Step: drops files that are mostly data."""

    def __init__(self, config: DataConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Rule about one record."""
        language = named_language(record)
        ruling = self.encoded(record.text)
        if not ruling.reason:
            ruling = self.structured(record.text, language)
        if not ruling.reason and len(record.text) >= self.config.min_characters:
            ruling = self.shares(record.text, language)
        return ruling

    def encoded(self, text: str) -> Ruling:
        """Judge runs of encoded data."""
        total = 0
        for name, pattern in (("base64", BASE64), ("hexadecimal", HEXES), ("\\u", UNICODE)):
            for found in pattern.finditer(text):
                varied = len(set(found[0][:400])) >= 8
                if not (looks_encoded(found[0]) if name == "base64" else varied):
                    continue
                run = found.end() - found.start()
                if run >= self.config.encoded_run:
                    return Ruling("code: encoded data", run, f"a run of {name}")
                total += run
        share = total / max(1, len(text))
        if share > self.config.encoded_share and len(text) >= self.config.min_characters:
            return Ruling("code: encoded data", share, "share of the file")
        return PASS

    def structured(self, text: str, language: str) -> Ruling:
        """Judge JSON, YAML, tables, XML and HTML by their size or their visible text."""
        low, high = self.config.structured_characters
        if language == "yaml":
            low, high = 0, self.config.yaml_characters
        if language in ("json", "yaml") and not low <= len(text) <= high:
            return Ruling("code: data file", len(text), f"{language} of this many characters")
        if language in ("csv", "gettext", "svg"):
            return Ruling("code: data file", details=language)
        start = text[:100].lower()
        is_xml = "<?xml version=" in start and "xsl" not in text[:2_000].lower()
        if is_xml and language not in ("xml", "html"):  # XHTML begins so too
            return Ruling("code: data file", details="XML under another ending")
        if language == "html":
            visible = len(" ".join(visible_text(text).split()))
            if visible < self.config.html_visible_characters:
                return Ruling("code: data file", visible, "visible characters of HTML")
            if visible < self.config.html_visible_share * len(text):
                return Ruling("code: data file", visible / len(text), "visible share of HTML")
        return PASS

    def shares(self, text: str, language: str) -> Ruling:
        """Judge the share of numbers and of the longest string."""
        code = without(text, comments(text, language))
        size = max(1, len(code) - code.count(" ") - code.count("\n"))
        numbers = sum(len("".join(found[0].split())) for found in NUMBERS.finditer(code))
        if numbers > self.config.number_share * size:
            return Ruling("code: table of numbers", numbers / size)
        longest = max(
            (p.end - p.start for p in pieces(text, language) if not p.is_comment), default=0
        )
        if longest > self.config.literal_share * len(code) and language not in ("markdown", "xml"):
            return Ruling("code: one long literal", longest / len(code))
        return PASS


def looks_encoded(run: str) -> bool:
    """Whether a run of base64's letters mixes them as data does: words and paths do not.

    >>> looks_encoded("a" * 80), looks_encoded("TWFuIGlzIGRpc3Rpbmd1aXNoZWQsIG5vdCBvbmx5" * 2)
    (False, True)
    """
    sample = run[:400]
    digits = sum(map(str.isdigit, sample))
    upper, lower = sum(map(str.isupper, sample)), sum(map(str.islower, sample))
    return len(set(sample)) >= 16 and min(upper, lower) * 8 >= len(sample) and digits > 0


def visible_text(text: str) -> str:
    """Roughly what a browser shows: no scripts, styles, comments or tags."""
    text = re.sub(r"(?i)<(script|style)\b[\s\S]*?(?:</\1\s*>|\Z)", " ", text)
    text = re.sub(r"<!--[\s\S]*?(?:-->|\Z)", " ", text)
    return re.sub(r"<[^<>]*>", " ", text)
