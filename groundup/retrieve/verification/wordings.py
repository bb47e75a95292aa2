"""The closed set of edits that keep what a sentence means: its other wordings, a line's readings.

    When it rains, the tour is off.               The tour is off when it rains.      moved
    Ann Lee designed the bridge.                  The bridge was designed by Ann Lee. turned
    The mill's roof leaks.                        The roof of the mill leaks.         turned
    The hut leans; her sister, the mill, stands.  The mill stands.                    a clause
    The rye rests for 18 hours, the wheat for 4.  The wheat rests for 4 hours.        completed

Words are neither added nor changed, so what a reading says its line says too.
"""

import re
from collections.abc import Iterator
from functools import cache

from ..wording.language import word_pattern
from .alignment import (
    BEGINS,
    YEAR,
    Word,
    Words,
    begins_anew,
    have,
    is_joint,
    may_drop,
    says,
    tense_of,
    words_of,
)  # fmt: skip

MAX_SUBJECT = 6
"""Words that count of what begins a line and is understood in its next clause."""
DISCOURSE = ("for", "as", "like", "because", "although")
"""Begins an opening that may be left out: "As in UNIX, …"."""
ONE = ("one", "ones", "that", "those")
THESE = ("these", "following", "diese", "folgende")
OF = ("of", "von", "des", "de", "du", "del")
HAVE = ("has", "have", "had", "do", "does", "did")
MARK = re.compile(
    r"\A\s*(?:[-*•+·]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+(?=\S)(?!"
    + word_pattern("month").pattern + ")", re.I,
)  # fmt: skip
"""What begins an item of a list; no day, as in "3. Mai"."""
NOTE = re.compile(r"(?:(?<=\w{3})|(?<=[.,;!?]))(?:\[(?:\d{1,3}|\*)\]|[¹²³⁴-⁹⁰†‡]+)")
NAMES = "text|documents?|documentation|docs|manual|guide|page|passage|file|source|report|handbook"
SOURCE = re.compile(
    rf"\A(?:(?:According to|In) (?:the|this) (?:{NAMES}),?\s"
    rf"|The (?:{NAMES}) (?:says?|states?|notes?|explains?) that\s)", re.I,
)  # fmt: skip


def bare(text: str) -> str:
    """A text without the mark of an item and notes.

    >>> bare("1. Open the valve.[2]"), bare("3. Mai")
    ('Open the valve.', '3. Mai')
    """
    return NOTE.sub("", MARK.sub("", text))


def follows(
    sentence: str, line: str, language: str, lead: str = "", before: str = "", *,
    titles: frozenset[str] = frozenset(), file: frozenset[str] = frozenset(),
) -> bool:  # fmt: skip
    """Whether a wording of a sentence is one of the readings of a line.

    lead    what heads a list of which the line is an item
    before  the sentence before, of whose subject is a line that begins with a pronoun
    titles  stems of titles, which a sentence may name besides
    file    stems of the file's name, of which is a line that begins with a pronoun after none

    >>> follows("In 1811 it was built.", "It was built in 1811, and it leans.", "english")
    True
    """
    claim, words, head, context = (
        words_of(bare(text), language) for text in (SOURCE.sub("", sentence), line, lead, before)
    )
    opening, rest = split_opening(words)
    is_pronoun = have(rest[:1], "subject") and not have(opening, "condition", "time")
    titles = titles | file if is_pronoun and not before else titles
    known = titles.union(*(word.stems for word in (*words, *head, *context)))
    is_free = (not w.is_wanted or w.has("negation", "preposition") or w.is_weak for w in claim)
    if not all(free or w.stems & known for free, w in zip(is_free, claim, strict=True)):
        return False
    names = (word.has("capital", "number", "preposition") for word in claim if word.is_wanted)
    if all(names) and not have(claim, "being"):
        own = titles.union(*(word.stems for word in (*words, *head)))  # not of the sentence before
        is_own = all(word.stems & own for word in claim if word.is_wanted)
        return is_own and not have(words, "negation")  # an answer such as "Finch, Anna"
    lines = list(_lines(words, head, context, claim, titles))
    claims = [claim, *_without_known(claim, titles, (*context, *words))]
    if any(_says(each, said) for said in claims for each in lines):
        return True
    cuts = [n for n in range(1, len(claim)) if is_joint(claim, n - 1) and begins_anew(claim[n:])]
    parts = [claim[a:b] for a, b in zip([0, *cuts], [*cuts, len(claim)], strict=True)]
    return len(parts) > 1 and all(any(_says(each, part) for each in lines) for part in parts)


def _lines(
    words: Words, head: Words, before: Words, claim: Words, titles: frozenset[str]
) -> Iterator[Words]:
    """A line alone, with what heads it, and with what a pronoun at its beginning stands for."""
    relative = next((n for n, word in enumerate(head) if word.has("relative")), len(head))
    if not have(head[:relative], "negation", "condition", "reported", "time"):
        yield words
    if head:
        these = next((n for n, word in enumerate(head) if word.text in THESE), len(head))
        yield head[:these] + words + head[these + 1 :]
    opening, rest = split_opening(words)
    if have(rest[:1], "subject") and not have(opening, "condition", "time"):
        at = next((n for n, w in enumerate(claim) if w.is_wanted and not w.stems & titles), 0)
        for subject in subjects(before, claim) if before else [claim[:at]]:
            yield opening + subject + rest[1:]


def _says(line: Words, claim: Words) -> bool:
    for wording in wordings(claim):
        wanted = [w for w in wording if w.is_wanted and not w.has("negation", "modal")]
        for reading in dict.fromkeys(readings(line, wording)):
            known = frozenset[str]().union(*(word.stems for word in reading))
            if all(word.stems & known for word in wanted) and says(reading, wording):
                return True
    return False


def _without_known(claim: Words, titles: frozenset[str], line: Words) -> Iterator[Words]:
    """A sentence without a part that only says of what titles tell: "the deposit for a punt".

    Also without "of the kiln", if the line has "its", or "the arch of the kiln" before.
    """
    said = [word for word in line if word.is_wanted and not word.has(*BEGINS)]
    known = frozenset[str]().union(*(word.stems for word in line)) | titles
    is_own = have(line, "owner")
    for start, first in enumerate(claim):
        is_of = first.text in OF
        for end in range(start + 1, len(claim) + 1):
            part, after = claim[start:end], claim[end : end + 1]
            if part[-1].has("number", "mark", "joint"):
                break
            named = [word for word in part if word.is_wanted and not word.has("preposition")]
            if not named or not all(word.stems & known for word in named):
                continue
            is_titled = all(word.stems & titles for word in named)
            is_verb = have(claim[max(0, start - 1) : start], "being", "modal")  # "is fed"
            is_part = is_of or first.has("preposition", "place")
            is_part = is_part or first.is_wanted and after != () and not is_verb
            whole = [word for word in claim[max(0, start - 1) : start] if word.is_wanted] + named
            runs = (said[n : n + len(whole)] for n in range(len(said) - len(whole) + 1))
            is_again = is_of and any(all(map(Word.is_same, whole, run)) for run in runs)
            is_own_part = is_own and (is_of or have(after, "genitive"))
            if part[-1].is_wanted and (is_titled and is_part or is_again or is_own_part):
                yield claim[:start] + claim[end:]


def wordings(claim: Words) -> Iterator[Words]:
    """A sentence, as active and passive, turned about "is" and "of", and with a part moved."""
    opening, body = split_opening(claim)
    turned = [body, *active(body), *of_turned(body), *is_turned(body), *uninverted(body)]
    turned += [each for one in turned[1:2] for each in of_turned(one)]
    found = dict.fromkeys(opening + each for each in turned)
    yield from dict.fromkeys([*found, *(other for each in found for other in moved(each))])


def moved(words: Words) -> Iterator[Words]:
    """A sentence with what begins with a preposition or the like at its end or beginning."""
    kinds = ("preposition", "place", "time", "condition", "reported")
    starts = [n for n, w in enumerate(words) if w.has(*kinds) or not n and w.has("number")]
    ends = {*starts, *(n for n, word in enumerate(words) if word.has("mark", "joint")), len(words)}
    opening, body = split_opening(words)
    ends |= {len(opening), *range(2, 5)} if 0 in starts else set()
    for start in starts:
        for end in (end for end in ends if start < end <= len(words)):
            part, rest = words[start:end], words[:start] + words[end:]
            yield part + rest
            yield rest + part
    if opening:
        yield body + opening
        at = next((n for n, word in enumerate(body) if word.has("being")), 0)
        yield body[:at] + opening + body[at:]


def active(words: Words) -> Iterator[Words]:
    """A passive sentence as active: "The mill was built by Ann in 1902", "Ann built the mill …".

    One that does not say by whom begins with its verb.
    """
    by = next((n for n, word in enumerate(words) if word.text in ("by", "par", "por")), 0)
    kinds = ("being", "modal", "negation")
    first = next((n for n, word in enumerate(words[: by or None]) if word.has(*kinds)), 0)
    last = max((n for n, word in enumerate(words[: by or None]) if word.has("being")), default=0)
    verb = next((n for n in range(last + 1, by or len(words)) if words[n].is_wanted), 0)
    verb += have(words[verb : verb + 1], "negation")
    if not first or not last < verb < len(words) or words[last].text in HAVE:
        return
    between = words[first:verb]
    if not last or have(between, "article") or words[verb].has("number", "capital"):
        return
    kept = tuple(word for word in between if word.is_wanted)
    kinds = words[verb].kinds | {"past" if have(between, "past") else "present"}
    did = words[verb]._replace(text=min(words[verb].stems), kinds=kinds)
    if not by:
        verbs = [word._replace(kinds=word.kinds | {"agentless"}) for word in (*kept, did)]
        yield (*verbs, *words[:first], *words[verb + 1 :])
        return
    ends = [n for n in range(by + 2, len(words)) if words[n].has(*BEGINS)][:2] + [len(words)]
    for end in ends:
        agent, rest = words[by + 1 : end], words[verb + 1 : by]
        yield (*agent, *kept, did, *words[:first], *rest, *words[end:])


def uninverted(words: Words) -> Iterator[Words]:
    """A German clause behind its opening with its subject first: "öffnet das Bad um acht"."""
    end = next((n + 1 for n, word in enumerate(words) if n and word.has("capital")), 0)
    if end and not words[0].has("capital", "article") and not have(words[:end], *BEGINS):
        yield words[1:end] + words[:1] + words[end:]


def of_turned(words: Words) -> Iterator[Words]:
    """A sentence with "the mill's roof" as "the roof of the mill" and the reverse."""
    for at, word in enumerate(words):
        if word.has("genitive") or word.text in OF:
            before = (n for n in range(at, 0, -1) if not _is_noun(words[n - 1]))
            start = next(before, 0)
            for end in range(at + 2, min(at + 5, len(words) + 1)):
                yield words[:start] + words[at + 1 : end] + (word,) + words[start:at] + words[end:]


def _is_noun(word: Word) -> bool:
    return word.is_wanted and not word.has(*BEGINS)


def is_turned(words: Words) -> Iterator[Words]:
    """A sentence turned about its only "is": "Orr is the capital"."""
    at = [n for n, word in enumerate(words) if word.has("being")]
    if len(at) == 1 and words[at[0]].text not in HAVE:
        end = at[0] + 1 + have(words[at[0] + 1 : at[0] + 2], "quantifier")  # "is always"
        if at[0]:
            yield words[end:] + words[at[0] : end] + words[: at[0]]
        else:  # "seit 2014 ist Ann Egger Wirtin"
            yield from (words[n:] + words[:n] for n in range(end + 1, len(words)))


def split_opening(words: Words) -> tuple[Words, Words]:
    """What stands before the subject, to a comma or "In 1972 the …", and the rest."""
    begin = ("preposition", "place", "time", "condition", "reported")
    if not words or not words[0].has(*begin) and words[0].text not in DISCOURSE:
        return (), words
    for at, word in enumerate(words):
        if word.text == ",":
            return words[: at + 1], words[at + 1 :]
        is_subject = word.has("article", "subject", "capital", "being")
        is_subject = is_subject and not words[0].has("condition", "reported")
        if is_subject and _is_noun(words[at - 1]) and any(map(_is_noun, words[1:at])):
            is_name = [each.has("capital", "number") for each in words[1:at][-2:]]
            is_verb = is_name == [True, False]  # "Im Winter öffnet das Bad"
            return words[: at - is_verb], words[at - is_verb :]
    return (), words


def readings(line: Words, claim: Words) -> Iterator[Words]:
    """What a line says, whole and in its clauses, each with what it takes from before it."""
    others = ("otherwise", "else", "sonst")
    ends = [n for n, word in enumerate(line) if word.text == ";"]
    ends = [n for n in ends if not any(word.text in others for word in line[n + 1 : n + 2])]
    for start, end in zip([0, *(n + 1 for n in ends)], [*ends, len(line)], strict=True):
        opening, body = split_opening(line[start:end])
        if opening and _may_drop_opening(opening, body):
            yield from _clauses((), body, claim)
        yield from _clauses(opening, body, claim)
        if start:
            yield from _clauses(split_opening(line)[0], line[start:end], claim)
            yield from _taken_along(line[: start - 1], line[start:end], claim)


def _may_drop_opening(opening: Words, body: Words) -> bool:
    if have(opening, "negation", "condition", "reported"):
        return False
    opening = opening[:-1] if opening[-1].has("mark") else opening
    both = body + opening
    return opening[0].text in DISCOURSE or may_drop(both, len(body), len(both))


def _clauses(opening: Words, body: Words, claim: Words) -> Iterator[Words]:
    """The clauses of a line that begin at a comma or an "and", each with what it takes along."""
    yield from (opening + each for each in (body, *active(body), *uninverted(body)))
    for at, word in enumerate(body):
        head = body[:at]
        if word.has("relative") and have(head, "being") and not have(head, "negation", "mark"):
            yield from (each + body[at + 1 :] for each in subjects(opening + head, claim))
            if head[-1].has("being"):  # "the point is that …", "X is a tool that …"
                yield body[at + 1 :]
    for start in range(1, len(body)):
        if not is_joint(body, start - 1) or is_joint(body, start):
            continue
        end = next((n for n in range(start, 0, -1) if not is_joint(body, n - 1)), 0)
        head, joint, tail = body[:end], body[end:start], body[start:]
        if tail[0].text == "when" and head and YEAR.fullmatch(head[-1].text):  # "in 1932, when"
            yield tail[1:]
        is_new = len(joint) > 1 and begins_anew(tail)
        if have(head, "condition", "reported") and not is_new:
            continue
        if body[start - 1].text == "(" or tail[0].has("relative"):  # of the noun before
            tail = tail[tail[0].has("relative") :]
            yield from (noun + tail for noun in _last_nouns(head, claim))
            continue
        is_bound = have(head, "negation", "modal", "quantifier") and len(joint) < 2
        is_or = any(word.text in ("or", "nor", "oder", "ou") for word in joint)
        if not is_or and (begins_anew(tail) or not is_bound):
            yield from _with_subject(opening, tail)
        yield from _taken_along(opening + head, tail, claim)


def _taken_along(head: Words, tail: Words, claim: Words) -> Iterator[Words]:
    """A clause behind the subject of the one before, or completed by that."""
    for subject in subjects(head, claim):
        yield from _with_subject(subject, tail)
    stop = next((n for n, word in enumerate(tail) if n and word.has("mark", "joint")), len(tail))
    for end in dict.fromkeys((stop, len(tail))):
        pairs = [(tail[:end], head)]
        if by := next((n for n, word in enumerate(tail[:end]) if word.text == "by"), 0):
            pairs += [(tail[by + 1 : end] + tail[:by], each) for each in active(head)]
        if may_drop(tail, end, len(tail)) and any(completes(claim, *pair) for pair in pairs):
            yield claim


def _with_subject(subject: Words, tail: Words) -> Iterator[Words]:
    """A clause behind a subject, as active too; a pronoun gives way to it."""
    opening, body = split_opening(tail)
    if subject and have(body[:1], "subject"):
        body = body[1:]
    if not (have(subject[-1:], "being", "modal") and have(body[:1], "being", "modal", "future")):
        yield from (opening + each for each in (subject + body, *active(subject + body)))


def subjects(head: Words, claim: Words) -> Iterator[Words]:
    """The beginnings of a clause that a sentence has too, if they are whole.

    Not "the fridge" of "The fridge in room 3 …", nor "members" of "Members may not …, and …".
    """
    opening, body = split_opening(head)
    places = [n for n, word in enumerate(body) if word.is_wanted][:MAX_SUBJECT]
    said = [word for word in claim if word.is_wanted]
    for start in range(len(said)):
        for word, place in zip(said[start:], places, strict=False):
            if not word.is_same(body[place]):
                break
            after, end = body[place + 1 : place + 2], place + 1
            is_cut = (
                have(after, *BEGINS[:-1], "negation", "genitive") or after and after[0].text in OF
            )
            if not is_cut and not body[place].has(*BEGINS):
                yield opening + body[:end]
                while have(body[end : end + 1], "being", "modal"):
                    end += 1
                yield opening + body[:end]


def _last_nouns(head: Words, claim: Words) -> Iterator[Words]:
    """The last words of a clause that a sentence begins with: what "which …" is of."""
    said, last = ([word for word in words if word.is_wanted] for words in (claim, head))
    for size in range(1, MAX_SUBJECT):
        if len(last) >= size and all(map(Word.is_same, last[-size:], said)):
            yield tuple(last[-size:])


def completes(claim: Words, part: Words, head: Words) -> bool:
    """Whether a sentence is a whole clause and what that leaves out of the one before.

    >>> part, head = words_of("the wheat for four"), words_of("The rye rests for 18 hours")
    >>> completes(words_of("The wheat rests for 4 hours."), part, head)
    True
    >>> completes(words_of("The wheat rests for 18 hours."), part, head)
    False
    """
    said = [word for word in claim if word.is_wanted]
    own = [word for word in part if word.is_wanted or word.text in ONE]
    if not own or len(own) >= len(said) or tense_of(part) not in ("", tense_of(claim) or "past"):
        return False

    def gives_way(start: int, end: int, is_filled: bool) -> bool:
        gap = head[start:end]
        if not is_filled:
            return may_drop(head, start, end)
        if not start and part[0].has(*BEGINS) and not any(word.is_wanted for word in gap):
            return True  # "in winter the pool opens …"
        is_held = have(gap, "negation", "condition", "reported", "modal")
        return not is_held and any(w.is_wanted and not w.has("preposition") for w in gap)

    @cache
    def goes_on(at: int, there: int, here: int, is_filled: bool) -> bool:
        if at == len(said):
            return here == len(own) and gives_way(there, len(head), is_filled)
        is_one = not here and own[0].text in ONE and not said[at].has("number")
        if here < len(own) and (is_one or said[at].is_same(own[here])):
            if goes_on(at + 1, there, here + 1, True):
                return True
        return any(
            said[at].is_same(head[place])
            and gives_way(there, place, is_filled)
            and goes_on(at + 1, place + 1, here, False)
            for place in range(there, len(head))
        )

    return goes_on(0, 0, 0, False)
