"""Rules that turn an entry's statements into questions with the slices that answer them.

Each rule finds one kind of statement about a name (what it does, its default, what it returns, when
it raises …) with the patterns of patterns.py. An uncertain rule finds nothing, because a question
that cannot be answered from the slice is worse than none. Phrasings (rules.toml) have their parts
in braces; names come with code marks.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..tables import Tables
from . import patterns
from .blocks import DEFAULT_LINE, parameters
from .entries import Entry
from .plain import Plain
from .verbs import is_deed, is_verb

NOT_SAID = ("None", "...", "…")  # defaults that say nothing


class Found(NamedTuple):
    """A question's parts and the slice of an entry's text that answers it."""

    parts: dict[str, str]
    answer: Plain


class Rule(NamedTuple):
    """A kind of question."""

    name: str
    find: Callable[[Entry], Iterator[Found]]
    phrasings: tuple[str, ...]
    about: str
    """What it asks, for people."""


def purpose(entry: Entry) -> Iterator[Found]:
    """What a function does: its first sentence, if it begins with a verb."""
    if entry.kind == "function":
        yield from deed(entry)


def option(entry: Entry) -> Iterator[Found]:
    """What an option or a setting does."""
    if entry.kind in ("option", "setting"):
        yield from deed(entry)


def deed(entry: Entry) -> Iterator[Found]:
    """A first sentence that begins with a verb other than `return`."""
    first = opening(entry)
    if first and is_deed(first.text) and not first.text.startswith("Return"):
        if f"{entry.name.rpartition('.')[2]}()" not in first.text:  # Use the close() method when …
            yield Found({}, first)


def definition(entry: Entry) -> Iterator[Found]:
    """What a class, a value or a term is, or the topic of a section of running text."""
    if entry.kind in ("class", "value", "term", "setting") and (first := opening(entry)):
        articles = r"An? " if entry.kind == "term" else r"(?:An?|The) "
        if len(entry.name) > 2 and re.match(articles, first.text) and is_nominal(first.text):
            yield Found({}, first)
    for paragraph in entry.body:
        sentence = next(paragraph.sentences())
        found = patterns.IS_A.match(sentence.text)
        if not found or patterns.POINTING.match(sentence.text) or sentence.text.endswith(":"):
            continue
        answer = sentence.part(*found.span("value"))
        if entry.kind == "text" and is_topic(found["what"], entry.section.text):
            yield Found({"be": found["be"], "thing": thing(found["what"], entry)}, answer)
        elif entry.kind != "text" and same(found["what"], entry.name):
            yield Found({}, answer)


def default(entry: Entry) -> Iterator[Found]:
    """The default of a parameter in a signature, or of an option, setting or parameter in words."""
    if entry.kind in ("function", "class"):
        inside = entry.head.text.partition("(")[2].rpartition(")")[0]
        for one in parameters(inside):
            declared, _, value = one.partition("=")
            name, value = declared.partition(":")[0].strip(" *"), value.strip()
            if not value or value in NOT_SAID or value[0] == "<" or not name.isidentifier():
                continue
            given = re.compile(rf"\b{name}\b[^=,]*= ?(?P<value>{re.escape(value)})")
            for _, answer in said([entry.head], [given]):
                yield Found({"of": f"the parameter `{name}` of `{entry.name}`"}, answer)
    elif entry.kind in ("option", "setting", "parameter"):
        yield from first_of(said(sentences(entry, 2), patterns.DEFAULT))


def returns(entry: Entry) -> Iterator[Found]:
    """What a function returns, if one sentence alone tells it."""
    if entry.kind == "function":
        found = list(said(sentences(entry, 8), patterns.RETURNS))
        if len(found) == 1:
            yield Found({}, without_end(found[0][1]))


def raises(entry: Entry) -> Iterator[Found]:
    """Which exception a function raises under a condition."""
    for condition, exception in raisings(entry):
        yield Found({"condition": lower(condition.text)}, exception)


def raises_when(entry: Entry) -> Iterator[Found]:
    """Under which condition a function raises an exception; only one that is named once."""
    for condition, exception in raisings(entry):
        if sum(paragraph.text.count(exception.text) for paragraph in entry.body) == 1:
            yield Found({"exception": f"`{exception.text}`"}, condition)


def raisings(entry: Entry) -> Iterator[tuple[Plain, Plain]]:
    """Yield condition and exception of every sentence that tells both."""
    if entry.kind == "function":
        for sentence in sentences(entry, 12, True):
            for found, _ in said([sentence], patterns.RAISES, "exception"):
                if not patterns.UNSURE.search(found["condition"]):
                    yield (
                        sentence.part(*found.span("condition")),
                        sentence.part(*found.span("exception")),
                    )


def added(entry: Entry) -> Iterator[Found]:
    """The version that brought a name."""
    yield from first_of(said(notes(entry, patterns.ADDED), [patterns.ADDED], "version"))


def changed(entry: Entry) -> Iterator[Found]:
    """What a version changed, if one sentence tells it."""
    changes = [
        (found["version"], list(note.part(found.end(), len(note.text)).sentences()))
        for note in notes(entry, patterns.CHANGED)
        if (found := patterns.CHANGED.match(note.text))
    ]
    versions = [version for version, _ in changes]
    for version, told in changes:
        if versions.count(version) == 1 and len(told) == 1:
            yield Found({"version": version}, without_end(told[0]))


def replacement(entry: Entry) -> Iterator[Found]:
    """What to use instead of a deprecated name."""
    itself = patterns.ITSELF.replace("{name}", re.escape(entry.name.rpartition(".")[2]))
    wanted = re.compile(patterns.DEPRECATED.pattern + itself)
    yield from first_of(said(notes(entry, wanted), patterns.INSTEAD))


def values(entry: Entry) -> Iterator[Found]:
    """Which values something takes."""
    if entry.kind in ("option", "setting", "parameter"):
        yield from first_of(said(sentences(entry, 6), patterns.VALUES))


def limit(entry: Entry) -> Iterator[Found]:
    """The smallest or largest value of an option or setting."""
    if entry.kind in ("option", "setting", "parameter"):
        for bound, pattern in patterns.LIMITS.items():
            for _, answer in said(sentences(entry, 8), [pattern]):
                yield Found({"bound": bound}, answer)


def parameter(entry: Entry) -> Iterator[Found]:
    """What a parameter of a function is for."""
    if entry.kind == "parameter" and entry.owner and (first := opening(entry)):
        is_empty = same(first.text, entry.name) or patterns.TYPE_ALONE.match(first.text)
        if not is_empty and not first.text.startswith("Value returned by"):
            yield Found({}, first)


def condition(entry: Entry) -> Iterator[Found]:
    """What happens under a condition."""
    if entry.kind in ("option", "setting", "text") or entry.kind == "function" and entry.whole:
        for found, answer in said(sentences(entry, 10, True), [patterns.HAPPENS]):
            asked, is_order = found["condition"], is_verb(answer.text.split()[0])
            is_other = is_order or patterns.OTHER.search(answer.text)
            is_clause = patterns.CLAUSE.match(asked) and not patterns.UNSURE.search(asked)
            if is_clause and not is_other:
                yield Found({"condition": lower(asked), "Condition": asked}, answer)


def section(entry: Entry) -> Iterator[Found]:
    """Under which heading a name is described."""
    if entry.kind in ("function", "class", "option", "setting") and entry.section.text:
        inner = entry.name.rpartition(".")[2].strip("-").casefold()
        title = entry.section.text.casefold()
        if inner not in title and len(title) > 3 and not patterns.GENERIC.search(title):
            yield Found({}, entry.section)


def how(entry: Entry) -> Iterator[Found]:
    """How to do something."""
    for sentence in sentences(entry, len(entry.body)):
        for found, answer in said([sentence], [patterns.HOW]):
            if not patterns.LEANS.search(sentence.text):
                yield Found({"what": found["what"]}, answer)


def said(
    texts: Iterable[Plain], wanted: Iterable[re.Pattern[str]], name: str = "value"
) -> Iterator[tuple[re.Match[str], Plain]]:
    """Yield, of each text that one of the patterns finds something in, the match and its slice."""
    wanted = list(wanted)
    for text in texts:
        found = next((found for one in wanted if (found := one.search(text.text))), None)
        if found:
            yield found, text.part(*found.span(name))


def first_of(found: Iterable[tuple[re.Match[str], Plain]]) -> Iterator[Found]:
    """The first of what was said, as the answer."""
    for _, answer in found:
        yield Found({}, answer)
        return


def sentences(entry: Entry, paragraphs: int, alone: bool = False) -> Iterator[Plain]:
    """The sentences of the first paragraphs, no notes; `alone`: not just after one on `this`."""
    told = [one for one in entry.body if not patterns.NOTE.match(one.text)]
    for paragraph in told[:paragraphs]:
        leans = False
        for one in paragraph.sentences():
            if not (alone and leans):
                yield one
            leans = one.text.startswith(("This ", "That ", "If this "))


def opening(entry: Entry) -> Plain | None:
    """The first sentence under a name, without its full stop; None if it leans on another."""
    told = (one for one in sentences(entry, 2) if not DEFAULT_LINE.match(one.text))
    first = next(told, None)
    if first is None or patterns.POINTING.match(first.text) or not first.text[0].isupper():
        return None
    return without_end(first)


def without_end(sentence: Plain) -> Plain:
    """A sentence without what ends it."""
    return sentence.part(0, len(sentence.text.rstrip(".: ")))


def lower(text: str) -> str:
    """The text with a small first letter."""
    return text[0].lower() + text[1:]


def notes(entry: Entry, wanted: re.Pattern[str]) -> list[Plain]:
    """The notes on versions that begin as wanted; none where they may speak of something else."""
    is_sure = entry.whole and entry.kind in ("function", "class", "value", "option", "setting")
    return [note for note in entry.body if is_sure and wanted.match(note.text)]


def thing(what: str, entry: Entry) -> str:
    """A sentence's subject inside a question: small where it is a word, bare where it is code."""
    first, _, rest = what.partition(" ")
    if first in ("The", "An", "A"):
        return rest if patterns.CODE_WORD.fullmatch(rest) else lower(what)
    small = re.compile(rf"(?<![\w.-]){re.escape(lower(first))}(?![\w.-])")
    is_word = first[1:].islower() and any(small.search(each.text) for each in entry.body)
    is_word = is_word or first.endswith(("ing", "ity", "ness"))
    return lower(what) if is_word else what


def same(words: str, name: str) -> bool:
    """Whether a sentence's subject is the entry."""
    return words.rstrip("()").casefold() in (name.casefold(), name.rpartition(".")[2].casefold())


def is_topic(what: str, heading: str) -> bool:
    """Whether a sentence's subject is what its section is about, or a name of code."""
    bare = re.sub(r"^(?:The|An?) ", "", what)
    if patterns.GENERIC.search(bare.casefold()) or patterns.POINTING.match(bare):
        return False
    return bare.casefold() in heading.casefold() or bool(patterns.CODE_WORD.fullmatch(bare))


def is_nominal(text: str) -> bool:
    """Whether a text is a noun phrase: a short head without a verb, then perhaps what it is for."""
    head = patterns.NOUN_ENDS.split(text, maxsplit=1)[0]
    has_verb = patterns.VERB_IN_HEAD.search(head) or patterns.NEWS.search(text)
    return len(head.split()) < 7 and not has_verb


def named(entry: Entry) -> dict[str, str]:
    """What a question calls an entry: by name, with its kind, as a thing to define, as a place."""
    name = f"`{entry.name}`"
    of = f"the {entry.kind} {name}" if entry.kind in ("option", "parameter") else name
    of += f" of `{entry.owner}`" if entry.owner else ""
    around = f" with {of}" if entry.name else ""
    return {"name": name, "of": of, "thing": name, "be": "is", "around": around}


FINDERS: dict[str, Callable[[Entry], Iterator[Found]]] = {
    "purpose": purpose, "option": option, "definition": definition, "default": default,
    "returns": returns, "raises": raises, "raises_when": raises_when, "added": added, "changed":
    changed, "replacement": replacement, "values": values, "limit": limit, "parameter":
    parameter, "section": section, "condition": condition, "how": how,
}  # fmt: skip
PHRASINGS = Tables(Path(__file__).with_name("rules.toml")).data
RULES: tuple[Rule, ...] = tuple(
    Rule(name, find, tuple(PHRASINGS[name]["phrasings"]), PHRASINGS[name]["about"])
    for name, find in FINDERS.items()
)

HELD_OUT_RULE = "condition"
"""Never used for training: conditions occur in every kind of documentation and have free answers,
so a score on them distinguishes reading from learned phrasings."""


def training_rules() -> tuple[Rule, ...]:
    """The rules that training examples may be made by: all but the one held out."""
    return tuple(rule for rule in RULES if rule.name != HELD_OUT_RULE)
