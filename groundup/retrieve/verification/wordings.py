"""Other wordings of a sentence: what stands first moved to the end, asides left out, verbs put in.

    When it rains, the tour is off.            The tour is off when it rains.
    The hut (of 1911) leans; the mill stands.  The hut leans.   The mill stands.
    The rye rests for 18 hours, the wheat for 4.                The wheat rests for 4 hours.

Words are neither added nor dropped within a wording, so what one says its sentence says too. No
index and no terms here, only texts.
"""

import re
from collections.abc import Iterator

JOINS = "and|but|while|whereas|und|aber|et|mais|y|pero|en|och"
CLAUSE = re.compile(rf"[,;:]\s+(?:(?:{JOINS})\s)?|\s[–—-]\s|\s\(|\s(?:{JOINS})\s")
NUMBER = re.compile(r"[-−+]?\d(?:[\d.,]*\d)?|[一二三四五六七八九十百千两兩]+")
OPENING = re.compile(
    r"\A(?:In|At|On|From|By|For|After|Before|During|With|Within|Until|Since|Under)\s(?:the |an? )?"
    r"\w+[^,]*?(?:,\s|\s(?=the\b|an?\b|[A-Z]))"
)
"""What may stand before the subject: "In 1972 the"."""
CASE = r"(?:when(?:ever)?|if|unless|because|once|as soon as|although|while)"
FIRST = re.compile(rf"\A({CASE}\s[^,]+),\s(.+)\Z", re.I | re.S)
LAST = re.compile(
    rf"\s(?=(?:{CASE}|in|at|on|from|by|for|after|before|during|with|within|until|since|under)\s)"
)
NAMES = "text|documents?|documentation|docs|manual|guide|page|passage|file|source|report|handbook"
SOURCE = re.compile(
    rf"\A(?:(?:According to|In) (?:the|this) (?:{NAMES}),?\s"
    rf"|The (?:{NAMES}) (?:says?|states?|notes?|explains?) that\s)", re.I,
)  # fmt: skip
LINK = re.compile(r"\A(?:In addition|Also|However|Moreover),?\s(?=(?:it|they|he|she)\b)", re.I)
ASIDE = re.compile(r"\s*\([^()]*\)")
APPOSITION = re.compile(
    r"\b((?:[Tt]he|[Aa]n?|[Hh]er|[Hh]is|[Ii]ts|[Tt]heir)\s[\w -]{2,40}),\s"
    r"((?:the|an?)\s[\w -]{2,40}|[A-Z]\w+(?:\s[A-Z]\w+)?),\s(?=[a-z]+(?:s|ed)\b)"
)
"""A thing named twice before its verb: "her predecessor, the Eider, carried"."""
MAX_ADDED = 5
"""Words that a clause leaves out."""
ONE = ("one", "ones", "that", "those")


def without_source(sentence: str) -> str:
    """A sentence without the document that it names: "According to the manual, …"."""
    return SOURCE.sub("", sentence)


def moved(sentence: str) -> Iterator[str]:
    """A sentence with its opening at the end, or with its end, from a preposition on, before it.

    >>> list(moved("In 1811 the barn burnt down."))
    ['the barn burnt down In 1811']
    >>> list(moved("The tour is off when it rains."))
    ['when it rains, The tour is off']
    """
    text = sentence.strip().rstrip(".")
    if first := FIRST.match(text):
        yield f"{first[2]} {first[1]}"
    if opening := OPENING.match(text):
        yield f"{text[opening.end() :]} {opening[0].rstrip(', ')}"
    for match in LAST.finditer(text):
        yield f"{text[match.end() :]}, {text[: match.start()].rstrip(',')}"


def simpler(line: str) -> Iterator[str]:
    """The sentences that a line joins by semicolons, also without brackets and second names.

    >>> list(simpler("The hut (of 1911) leans; her sister, the mill, stands."))[2:]
    ['The hut leans', 'her sister stands.', 'the mill stands.']
    """
    texts = re.split(r";\s+(?!otherwise\b|else\b)", line)
    texts += [ASIDE.sub("", text) for text in texts if ASIDE.search(text)]
    for text in list(texts):
        texts += [APPOSITION.sub(rf"{kept} ", text) for kept in (r"\1", r"\2")]
    texts = list(dict.fromkeys(texts))
    yield from texts


def openings(line: str) -> Iterator[str]:
    """A line as far as each of its clauses, and all of it."""
    for match in CLAUSE.finditer(line):
        yield line[: match.start()]
    yield line


def completes(sentence: str, clause: str, before: str) -> bool:
    """Whether a sentence is a whole clause and what that leaves out of the one before.

    >>> completes("The wheat rests for 4 hours.", "the wheat for 4.", "The rye rests for 18 hours")
    True
    >>> completes("The wheat rests for 18 hours.", "the wheat for 4.", "The rye rests for 18 hours")
    False
    """
    own, said, known = map(_words, (sentence, clause, before))
    added = list[str]()
    for word in own:
        if said and (word == said[0] or said[0] in ONE and word in known):
            said = said[1:]
        else:
            added.append(word)
    is_known = all(word in known and not NUMBER.search(word) for word in added)
    first = _words(clause)[:1]
    has_subject = own[:1] == first or bool(first) and first[0] in ONE
    return not said and is_known and has_subject and 0 < len(added) <= MAX_ADDED


def _words(text: str) -> list[str]:
    return re.findall(rf"{NUMBER.pattern}|[^\W\d_]+", text.lower())
