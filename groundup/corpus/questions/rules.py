"""Rules that turn an entry's statements into questions with the slices that answer them.

Each rule finds one kind of statement about a name (what it does, its default, what it returns, when
it raises …) with patterns.toml. An uncertain rule finds nothing, because a question
that cannot be answered from the slice is worse than none. Phrasings (rules.toml) have their parts
in braces; names come with code marks.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from groundup.documents import join_lines, read_patterns

from .blocks import ALTERNATIVES, PATTERNS, TABLES, is_action, is_verb, signature_parameters
from .entries import DocumentedEntry
from .plain import PlainText

LIMITS = {bound: re.compile(join_lines(written)) for bound, written in TABLES["limits"].items()}
MEANINGLESS_DEFAULTS = ("None", "...", "…")  # defaults that say nothing


class FoundQuestion(NamedTuple):
    """A question's parts and the slice of an entry's text that answers it."""

    parts: dict[str, str]
    answer: PlainText


Finder = Callable[[DocumentedEntry], Iterator[FoundQuestion]]


class QuestionRule(NamedTuple):
    """A kind of question."""

    name: str
    find: Finder
    phrasings: tuple[str, ...]
    about: str
    """What it asks, for people."""


def _first_verb_sentence(*kinds: str) -> Finder:
    """What an entry does: its first sentence, if it begins with a verb other than `return`."""

    def find(entry: DocumentedEntry) -> Iterator[FoundQuestion]:
        first = _opening_sentence(entry) if entry.kind in kinds else None
        if first and is_action(first.text) and not first.text.startswith("Return"):
            own = f"{entry.name.rpartition('.')[2]}()"  # Use the close() method when …
            if own not in first.text:
                yield FoundQuestion({}, first)

    return find


def _find_definition(entry: DocumentedEntry) -> Iterator[FoundQuestion]:
    """What a class, a value or a term is, or the topic of a section of running text."""
    if entry.kind in ("class", "value", "term", "setting") and (first := _opening_sentence(entry)):
        articles = r"An? " if entry.kind == "term" else r"(?:An?|The) "
        if len(entry.name) > 2 and re.match(articles, first.text) and _is_nominal(first.text):
            yield FoundQuestion({}, first)
    for paragraph in entry.body:
        sentence = next(paragraph.sentences())
        found = PATTERNS["is_a"].match(sentence.text)
        if (
            not found
            or PATTERNS["referring_subject"].match(sentence.text)
            or sentence.text.endswith(":")
        ):
            continue
        answer = sentence.slice_text(*found.span("value"))
        if entry.kind == "text" and _is_topic(found["what"], entry.section.text):
            yield FoundQuestion(
                {"be": found["be"], "thing": _question_subject(found["what"], entry)}, answer
            )
        elif entry.kind != "text" and _is_entry_name(found["what"], entry.name):
            yield FoundQuestion({}, answer)


def _find_default(entry: DocumentedEntry) -> Iterator[FoundQuestion]:
    """The default of a parameter in a signature, or of an option, setting or parameter in words."""
    if entry.kind in ("function", "class"):
        inside = entry.head.text.partition("(")[2].rpartition(")")[0]
        for one in signature_parameters(inside):
            declared, _, value = one.partition("=")
            name, value = declared.partition(":")[0].strip(" *"), value.strip()
            if (
                not value
                or value in MEANINGLESS_DEFAULTS
                or value[0] == "<"
                or not name.isidentifier()
            ):
                continue
            given = re.compile(rf"\b{name}\b[^=,]*= ?(?P<value>{re.escape(value)})")
            for _, answer in _match_texts([entry.head], [given]):
                yield FoundQuestion({"of": f"the parameter `{name}` of `{entry.name}`"}, answer)
    elif entry.kind in ("option", "setting", "parameter"):
        yield from _first_found(_match_texts(_entry_sentences(entry, 2), ALTERNATIVES["default"]))


def _find_returns(entry: DocumentedEntry) -> Iterator[FoundQuestion]:
    """What a function returns, if one sentence alone tells it."""
    if entry.kind == "function":
        found = list(_match_texts(_entry_sentences(entry, 8), ALTERNATIVES["returns"]))
        if len(found) == 1:
            yield FoundQuestion({}, _without_final_stop(found[0][1]))


def _find_raises(entry: DocumentedEntry) -> Iterator[FoundQuestion]:
    for condition, exception in _exception_conditions(entry):
        yield FoundQuestion({"condition": _lower_first(condition.text)}, exception)


def _find_raises_when(entry: DocumentedEntry) -> Iterator[FoundQuestion]:
    """Under which condition a function raises an exception; only one that is named once."""
    for condition, exception in _exception_conditions(entry):
        if sum(paragraph.text.count(exception.text) for paragraph in entry.body) == 1:
            yield FoundQuestion({"exception": f"`{exception.text}`"}, condition)


def _exception_conditions(entry: DocumentedEntry) -> Iterator[tuple[PlainText, PlainText]]:
    """Yield condition and exception of every sentence that tells both."""
    if entry.kind == "function":
        for sentence in _entry_sentences(entry, 12, True):
            for found, _ in _match_texts([sentence], ALTERNATIVES["raises"], "exception"):
                if not PATTERNS["unsure"].search(found["condition"]):
                    yield (
                        sentence.slice_text(*found.span("condition")),
                        sentence.slice_text(*found.span("exception")),
                    )


def _find_added(entry: DocumentedEntry) -> Iterator[FoundQuestion]:
    notes = _version_notes(entry, PATTERNS["added"])
    yield from _first_found(_match_texts(notes, [PATTERNS["added"]], "version"))


def _find_changed(entry: DocumentedEntry) -> Iterator[FoundQuestion]:
    """What a version changed, if one sentence tells it."""
    changes = [
        (found["version"], list(note.slice_text(found.end(), len(note.text)).sentences()))
        for note in _version_notes(entry, PATTERNS["changed"])
        if (found := PATTERNS["changed"].match(note.text))
    ]
    versions = [version for version, _ in changes]
    for version, told in changes:
        if versions.count(version) == 1 and len(told) == 1:
            yield FoundQuestion({"version": version}, _without_final_stop(told[0]))


def _find_replacement(entry: DocumentedEntry) -> Iterator[FoundQuestion]:
    """What to use instead of a deprecated name."""
    itself = PATTERNS["itself"].pattern.replace("{name}", re.escape(entry.name.rpartition(".")[2]))
    wanted = re.compile(PATTERNS["deprecated"].pattern + itself)
    yield from _first_found(_match_texts(_version_notes(entry, wanted), ALTERNATIVES["instead"]))


def _find_values(entry: DocumentedEntry) -> Iterator[FoundQuestion]:
    if entry.kind in ("option", "setting", "parameter"):
        yield from _first_found(_match_texts(_entry_sentences(entry, 6), ALTERNATIVES["values"]))


def _find_limit(entry: DocumentedEntry) -> Iterator[FoundQuestion]:
    if entry.kind in ("option", "setting", "parameter"):
        for bound, pattern in LIMITS.items():
            for _, answer in _match_texts(_entry_sentences(entry, 8), [pattern]):
                yield FoundQuestion({"bound": bound}, answer)


def _find_parameter(entry: DocumentedEntry) -> Iterator[FoundQuestion]:
    if entry.kind == "parameter" and entry.owner and (first := _opening_sentence(entry)):
        is_empty = _is_entry_name(first.text, entry.name) or PATTERNS["type_alone"].match(
            first.text
        )
        if not is_empty and not first.text.startswith("Value returned by"):
            yield FoundQuestion({}, first)


def _find_condition(entry: DocumentedEntry) -> Iterator[FoundQuestion]:
    is_function = entry.kind == "function" and entry.is_complete
    if is_function or entry.kind in ("option", "setting", "text"):
        for found, answer in _match_texts(_entry_sentences(entry, 10, True), [PATTERNS["happens"]]):
            asked, is_order = found["condition"], is_verb(answer.text.split()[0])
            is_other = is_order or PATTERNS["other"].search(answer.text)
            is_clause = PATTERNS["clause"].match(asked) and not PATTERNS["unsure"].search(asked)
            if is_clause and not is_other:
                yield FoundQuestion({"condition": _lower_first(asked), "Condition": asked}, answer)


def _find_section(entry: DocumentedEntry) -> Iterator[FoundQuestion]:
    if entry.kind in ("function", "class", "option", "setting") and entry.section.text:
        inner = entry.name.rpartition(".")[2].strip("-").casefold()
        title = entry.section.text.casefold()
        if inner not in title and len(title) > 3 and not PATTERNS["generic"].search(title):
            yield FoundQuestion({}, entry.section)


def _how_to(entry: DocumentedEntry) -> Iterator[FoundQuestion]:
    for sentence in _entry_sentences(entry, len(entry.body)):
        for found, answer in _match_texts([sentence], [PATTERNS["how"]]):
            if not PATTERNS["leans"].search(sentence.text):
                yield FoundQuestion({"what": found["what"]}, answer)


def _match_texts(
    texts: Iterable[PlainText], wanted: Iterable[re.Pattern[str]], name: str = "value"
) -> Iterator[tuple[re.Match[str], PlainText]]:
    """Yield, of each text that one of the patterns finds something in, the match and its slice."""
    wanted = list(wanted)
    for text in texts:
        found = next((found for one in wanted if (found := one.search(text.text))), None)
        if found:
            yield found, text.slice_text(*found.span(name))


def _first_found(found: Iterable[tuple[re.Match[str], PlainText]]) -> Iterator[FoundQuestion]:
    for _, answer in found:
        yield FoundQuestion({}, answer)
        return


def _entry_sentences(
    entry: DocumentedEntry, paragraphs: int, alone: bool = False
) -> Iterator[PlainText]:
    """The sentences of the first paragraphs, no notes; `alone`: not just after one on `this`."""
    told = [one for one in entry.body if not PATTERNS["note"].match(one.text)]
    for paragraph in told[:paragraphs]:
        leans = False
        for one in paragraph.sentences():
            if not (alone and leans):
                yield one
            leans = one.text.startswith(("This ", "That ", "If this "))


def _opening_sentence(entry: DocumentedEntry) -> PlainText | None:
    """The first sentence under a name, without its full stop; None if it leans on another."""
    told = (
        one for one in _entry_sentences(entry, 2) if not PATTERNS["default_line"].match(one.text)
    )
    first = next(told, None)
    if (
        first is None
        or PATTERNS["referring_subject"].match(first.text)
        or not first.text[0].isupper()
    ):
        return None
    return _without_final_stop(first)


def _without_final_stop(sentence: PlainText) -> PlainText:
    return sentence.slice_text(0, len(sentence.text.rstrip(".: ")))


def _lower_first(text: str) -> str:
    return text[0].lower() + text[1:]


def _version_notes(entry: DocumentedEntry, wanted: re.Pattern[str]) -> list[PlainText]:
    """The notes on versions that begin as wanted; none where they may speak of something else."""
    kinds = ("function", "class", "value", "option", "setting")
    is_sure = entry.is_complete and entry.kind in kinds
    return [note for note in entry.body if is_sure and wanted.match(note.text)]


def _question_subject(what: str, entry: DocumentedEntry) -> str:
    """A sentence's subject inside a question: small where it is a word, bare where it is code."""
    first, _, rest = what.partition(" ")
    if first in ("The", "An", "A"):
        return rest if PATTERNS["code_word"].fullmatch(rest) else _lower_first(what)
    small = re.compile(rf"(?<![\w.-]){re.escape(_lower_first(first))}(?![\w.-])")
    is_word = first[1:].islower() and any(small.search(each.text) for each in entry.body)
    is_word = is_word or first.endswith(("ing", "ity", "ness"))
    return _lower_first(what) if is_word else what


def _is_entry_name(words: str, name: str) -> bool:
    return words.rstrip("()").casefold() in (name.casefold(), name.rpartition(".")[2].casefold())


def _is_topic(what: str, heading: str) -> bool:
    """Whether a sentence's subject is what its section is about, or a name of code."""
    bare = re.sub(r"^(?:The|An?) ", "", what)
    if PATTERNS["generic"].search(bare.casefold()) or PATTERNS["referring_subject"].match(bare):
        return False
    return bare.casefold() in heading.casefold() or bool(PATTERNS["code_word"].fullmatch(bare))


def _is_nominal(text: str) -> bool:
    """Whether a text is a noun phrase: a short head without a verb, then perhaps what it is for."""
    head = PATTERNS["noun_ends"].split(text, maxsplit=1)[0]
    has_verb = PATTERNS["verb_in_head"].search(head) or PATTERNS["reports_change"].search(text)
    return len(head.split()) < 7 and not has_verb


def entry_names(entry: DocumentedEntry) -> dict[str, str]:
    """What a question calls an entry: by name, with its kind, as a thing to define, as a place."""
    name = f"`{entry.name}`"
    of = f"the {entry.kind} {name}" if entry.kind in ("option", "parameter") else name
    of += f" of `{entry.owner}`" if entry.owner else ""
    around = f" with {of}" if entry.name else ""
    return {"name": name, "of": of, "thing": name, "be": "is", "around": around}


FINDERS: dict[str, Finder] = {
    "purpose": _first_verb_sentence("function"),
    "option": _first_verb_sentence("option", "setting"),
    "definition": _find_definition,
    "default": _find_default,
    "returns": _find_returns,
    "raises": _find_raises,
    "raises_when": _find_raises_when,
    "added": _find_added,
    "changed": _find_changed,
    "replacement": _find_replacement,
    "values": _find_values,
    "limit": _find_limit,
    "parameter": _find_parameter,
    "section": _find_section,
    "condition": _find_condition,
    "how": _how_to,
}
PHRASINGS = read_patterns(Path(__file__).with_name("rules.toml"))
RULES: tuple[QuestionRule, ...] = tuple(
    QuestionRule(name, find, tuple(PHRASINGS[name]["phrasings"]), PHRASINGS[name]["about"])
    for name, find in FINDERS.items()
)
