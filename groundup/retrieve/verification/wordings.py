"""The closed set of edits that keep what a sentence means: its other wordings, and a line's readings.

    When it rains, the tour is off.             The tour is off when it rains.      moved
    Ann Lee designed the bridge.                The bridge was designed by Ann Lee. turned
    The mill's roof leaks.                      The roof of the mill leaks.         turned
    The hut leans; her sister, the mill, stands. The mill stands.                   a clause, a name
    The rye rests for 18 hours, the wheat for 4. The wheat rests for 4 hours.       completed

Words are neither added nor changed, so what a reading says its line says too.
"""

import re
from collections.abc import Iterator

from .alignment import BEGINS, OWN, YEAR, Reading, Word, Words, begins_anew, is_joint, tense_of, words_of

MAX_SUBJECT = 6
"""Words that count of what begins a line and is understood in its next clause."""
DISCOURSE = ("for", "as", "like", "because", "although")
"""Begins an opening that may be left out: "As in UNIX, ..."."""
ONE = ("one", "ones", "that", "those")
THESE = ("these", "following", "diese", "folgende")
LIST_MARK = re.compile(r"\A\s*(?:[-*•+·]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+(?=\S)")
LINK = re.compile(r"\A(?:In addition|Also|However|Moreover),?\s", re.I)
NOTE = re.compile(r"(?:(?<=\w{3})|(?<=[.,;!?]))(?:\[(?:\d{1,3}|\*)\]|[¹²³⁴-⁹⁰†‡]+)")
NAMES = "text|documents?|documentation|docs|manual|guide|page|passage|file|source|report|handbook"
SOURCE = re.compile(
    rf"\A(?:(?:According to|In) (?:the|this) (?:{NAMES}),?\s"
    rf"|The (?:{NAMES}) (?:says?|states?|notes?|explains?) that\s)", re.I,
)  # fmt: skip
WILL = ("will", "shall", "wird", "werden")
OF = ("of", "von", "des", "de", "du", "del")


def wordings(claim: Words) -> Iterator[Words]:
    """A sentence, as active and passive, turned about "is" and "of", and with a part moved."""
    opening, body = split_opening(claim)
    turned = [body, *active(body), *of_turned(body), *is_turned(body), *uninverted(body)]
    turned += [each for one in turned[1:2] for each in of_turned(one)]
    found = dict.fromkeys(opening + each for each in turned)
    found |= dict.fromkeys(other for each in found for other in moved(each))
    yield from found


def moved(words: Words) -> Iterator[Words]:
    """A sentence with what begins with a preposition or the like moved to its end or beginning."""
    kinds = BEGINS - {"mark", "joint", "relative"} | {"reported"}
    starts = [n for n, w in enumerate(words) if w.has(*kinds) or not n and w.has("number")]
    marks = (n for n, word in enumerate(words) if word.has("mark", "joint"))
    opening, body = split_opening(words)
    ends = sorted({*starts, *marks, len(opening), len(words), *(range(2, 5) if 0 in starts else ())})
    for start in starts:
        for end in (end for end in ends if end > start):
            part, rest = words[start:end], words[:start] + words[end:]
            if start and any(word.is_wanted for word in words[:start]):
                yield part + rest
            if end < len(words):
                yield rest + part
    if opening:
        yield body + opening
    if opening and (at := next((n for n, word in enumerate(body) if word.has("being")), 0)):
        yield body[:at] + opening + body[at:]
    only = [n for n, word in enumerate(words) if word.text in ("only", "nur") and n > 1]
    for at in only:  # "is only relevant for", "is relevant only for"
        for other in (at - 1, at + 1):
            if 0 < other < len(words):
                swapped = list(words)
                swapped[at], swapped[other] = swapped[other], swapped[at]
                yield tuple(swapped)


def active(words: Words) -> Iterator[Words]:
    """A passive sentence as active: "The mill was built by Ann in 1902", "Ann built the mill …"."""
    by = next((n for n, word in enumerate(words) if word.text in ("by", "par", "por")), 0)
    if not by and (can := next((n for n, word in enumerate(words) if word.has("modal")), 0)) and words[can + 1 : can + 2] and words[can + 1].text == "be":
        verb = can + 2
        yield (words[can], *words[verb : verb + 1], *words[:can], *words[verb + 1 :])  # "you can …"
    being = next((n for n in range(by) if words[n].has("being", "modal")), 0)
    last = max((n for n in range(by) if words[n].has("being")), default=0)
    verb = next((n for n in range(last + 1, by) if words[n].is_wanted and not words[n].has("negation")), 0)
    if not being or not verb:
        return
    end = next((n for n in range(by + 2, len(words)) if words[n].has(*BEGINS)), len(words))
    kept = tuple(word for word in words[being:verb] if word.is_wanted)
    tense = {"past"} if any(word.has("past") for word in words[being:verb]) else set()
    did = words[verb]._replace(text=min(words[verb].stems), kinds=words[verb].kinds | tense)
    ends = [end]
    if words[end : end + 1] and words[end].text == "," and words[end + 1].has("capital"):  # his name
        ends += [n + 1 for n in range(end + 1, len(words)) if words[n].has("mark")][:1]
    for end in ends:
        yield (*words[by + 1 : end], *kept, did, *words[:being], *words[verb + 1 : by], *words[end:])


def uninverted(words: Words) -> Iterator[Words]:
    """A German clause behind its opening with its subject first: "öffnet das Bad um acht"."""
    end = next((n + 1 for n, word in enumerate(words) if n and word.has("capital")), 0)
    if end and not words[0].has("capital", "article", *BEGINS) and not any(w.has(*BEGINS) for w in words[1:end]):
        yield words[1:end] + words[:1] + words[end:]


def of_turned(words: Words) -> Iterator[Words]:
    """A sentence with "the mill's roof" as "the roof of the mill" and the reverse."""
    of = Word("of", frozenset(("of",)), frozenset(("plain",)))
    genitive = Word("'s", frozenset(), frozenset(("genitive",)))
    for at, word in enumerate(words):
        if word.has("genitive"):
            start = next((n + 1 for n in range(at - 1, -1, -1) if not words[n].is_wanted or words[n].has(*BEGINS)), 0)
            for end in range(at + 2, min(at + 4, len(words) + 1)):
                yield words[:start] + words[at + 1 : end] + (of,) + words[start:at] + words[end:]
        elif word.text in OF:
            start = next((n + 1 for n in range(at - 1, -1, -1) if not words[n].is_wanted or words[n].has(*BEGINS)), 0)
            for end in range(at + 2, min(at + 5, len(words) + 1)):
                yield words[:start] + words[at + 1 : end] + (genitive,) + words[start:at] + words[end:]


def is_turned(words: Words) -> Iterator[Words]:
    """A sentence turned about its only "is": "Orr is the capital"."""
    at = [n for n, word in enumerate(words) if word.has("being")]
    if len(at) == 1 and words[at[0]].text not in ("has", "have", "had", "do", "does", "did"):
        end = at[0] + 1 + (words[at[0] + 1 : at[0] + 2] != () and words[at[0] + 1].has("quantifier"))
        yield words[end:] + words[at[0] : end] + words[: at[0]]


def split_opening(words: Words) -> tuple[Words, Words]:
    """What stands before the subject, to a comma or "In 1972 the …", and the rest."""
    begin = ("preposition", "place", "time", "condition", "reported")
    if not words or not words[0].has(*begin) and words[0].text not in DISCOURSE:
        return (), words
    seen = 0
    for at, word in enumerate(words):
        if word.text == ",":
            return words[: at + 1], words[at + 1 :]
        is_subject = word.has("article", "subject", "capital") and words[at - 1].has("number", "month") | words[at - 1].is_wanted
        if seen and is_subject and not words[at - 1].has(*BEGINS) and not words[0].has("condition", "reported"):
            is_verb = at > 2 and not words[at - 1].has("capital", "number")
            is_verb = is_verb and words[at - 2].has("capital", "number")
            return words[: at - is_verb], words[at - is_verb :]  # "Im Winter öffnet das Bad"
        seen += word.is_wanted and not word.has(*BEGINS)
    return (), words


def readings(line: Words, claim: Words) -> Iterator[Words]:
    """What a line says, whole and in its clauses, each with what it takes from before it."""
    ends = [n for n, word in enumerate(line) if word.text == ";" and not _is_otherwise(line[n + 1 : n + 2])]
    for start, end in zip([0, *(n + 1 for n in ends)], [*ends, len(line)], strict=True):
        opening, first = split_opening(line[start:end])
        for body in (first, *_second_names(first)):
            if opening and _may_drop_opening(opening, body):
                yield from _clauses((), body, claim)
            yield from _clauses(opening, body, claim)
        if start:
            if before := split_opening(line)[0]:
                yield from _clauses(before, line[start:end], claim)
            for subject in subjects(line[: start - 1], claim):
                yield from _with_subject(subject, line[start:end])
            if completes(claim, line[start:end], line[: start - 1]):
                yield claim


def _is_otherwise(words: Words) -> bool:
    return any(word.text in ("otherwise", "else", "sonst", "sinon") for word in words)


def _may_drop_opening(opening: Words, body: Words) -> bool:
    if any(word.has("negation", "condition", "reported") for word in opening):
        return False
    if opening[0].text in DISCOURSE:
        return True
    opening = opening[:-1] if opening[-1].has("mark") else opening
    return Reading(body + opening).may_drop(len(body), len(body) + len(opening))


def _second_names(words: Words) -> Iterator[Words]:
    """A line whose subject is named twice, with the second name alone: "her sister, the Eider,"."""
    marks = [n for n, word in enumerate(words) if word.text in (",", "–", "—")]
    for first, last in zip(marks, marks[1:], strict=False):
        if first and begins_anew(words[first + 1 : last]) and not any(w.has("joint") for w in words[:last]):
            yield words[first + 1 : last] + words[last + 1 :]
            yield words[:last]  # "Ida Roos is the harbour master"


def _clauses(opening: Words, body: Words, claim: Words) -> Iterator[Words]:
    """The clauses of a line that begin at a comma or an "and", each with what it takes along."""
    yield opening + body
    for each in (*active(body), *uninverted(body)):
        yield opening + each
    for at, word in enumerate(body):  # "X is a tool that …"
        head = body[:at]
        if word.has("relative") and sum(w.has("being") for w in head) == 1 and not any(w.has("negation", "mark") for w in head):
            yield from (subject + body[at + 1 :] for subject in subjects(opening + head, claim))
            if head[-1].has("being"):  # "the point is that …"
                yield body[at + 1 :]
    starts = [n for n in range(1, len(body)) if is_joint(body, n - 1) and not is_joint(body, n)]
    for start in starts:
        end = start - 1
        while end and is_joint(body, end - 1):
            end -= 1
        head, tail, joint = opening + body[:end], body[start:], body[end:start]
        if tail[0].text == "when" and YEAR.fullmatch(head[-1].text):  # "since 1932, when …"
            yield tail[1:]
        if any(word.has("condition", "reported") for word in body[:end]) and not (len(joint) > 1 and begins_anew(tail)):
            continue
        is_inside = joint[-1].text == "("
        if not is_inside and _is_free(body[:end], tail, joint):
            yield from _with_subject(opening, tail)
        for subject in subjects(head, claim) if not is_inside else ():
            yield from _with_subject(subject, tail)
        stop = next((n for n, word in enumerate(tail) if n and word.has("mark", "joint")), len(tail))
        if tail[0].has("relative") or is_inside:
            yield from (subject + tail[tail[0].has("relative") :] for subject in _last_nouns(head, claim))
        for upto in () if is_inside else dict.fromkeys((stop, len(tail))):
            rest = Reading(tail[:upto] + tail[upto:])
            if (upto == len(tail) or rest.may_drop(upto, len(tail))) and completes(claim, tail[:upto], head):
                yield claim


def _is_free(head: Words, tail: Words, joint: Words) -> bool:
    """Whether a clause stands alone: it has a subject, or what is before it binds no other."""
    if any(word.text in ("or", "nor", "oder", "ou") for word in joint) or tail[0].has("relative"):
        return False
    is_bound = any(word.has("negation", "modal", "quantifier") for word in head)
    return begins_anew(tail) or not is_bound or len(joint) > 1


def _with_subject(subject: Words, tail: Words) -> Iterator[Words]:
    """A clause behind a subject, as active too; a pronoun gives way to it."""
    opening, body = split_opening(tail)
    if subject and body and body[0].has("subject"):
        body = body[1:]
    if subject and body and subject[-1].has("being", "modal") and body[0].has("being", "modal", "subject") | (body[0].text in WILL):
        return
    whole = subject + body
    for each in (whole, *active(whole)):
        yield opening + each


def subjects(head: Words, claim: Words) -> Iterator[Words]:
    """The beginnings of a clause with which a sentence begins too, if they are whole.

    Not "the fridge" of "The fridge in room 3 …", nor "members" of "Members may not …, and …".
    """
    opening, body = split_opening(head)
    said = [word for word in claim if word.is_wanted]
    first = next((word for word in body if word.is_wanted), None)
    for start in (n for n, word in enumerate(said) if first and word.is_same(first)):
        at = 0
        for word in said[start : start + MAX_SUBJECT]:
            while at < len(body) and not body[at].is_wanted:
                at += 1
            if at >= len(body) or not word.is_same(body[at]):
                break
            at += 1
            after = body[at : at + 1]
            is_cut = any(w.has(*BEGINS - {"mark"}, "negation", "genitive") or w.text in OF for w in after)
            if not is_cut and not body[at - 1].has(*BEGINS):
                yield opening + body[:at]
                end = next((n for n in range(at, len(body)) if not body[n].has("being", "modal")), at)
                yield from [opening + body[:end]] * (end > at)


def _last_nouns(head: Words, claim: Words) -> Iterator[Words]:
    """The last words of a clause that a sentence begins with: what "which …" is of."""
    said = [word for word in claim if word.is_wanted]
    for size in range(1, MAX_SUBJECT):
        last = [word for word in head if word.is_wanted][-size:]
        if len(last) == size and all(a.is_same(b) for a, b in zip(last, said, strict=False)):
            yield tuple(last)


def completes(claim: Words, part: Words, head: Words) -> bool:
    """Whether a sentence is a whole clause and what that leaves out of the one before.

    >>> from groundup.retrieve.verification.alignment import words_of
    >>> part, head = words_of("the wheat for four"), words_of("The rye rests for 18 hours")
    >>> completes(words_of("The wheat rests for 4 hours."), part, head)
    True
    >>> completes(words_of("The wheat rests for 18 hours."), part, head)
    False
    """
    said = [word for word in claim if word.is_wanted]
    own = [word for word in part if word.is_wanted or word.text in ONE]
    tense = tense_of(claim)
    if not own or len(own) >= len(said) or tense and tense_of(part) not in ("", tense):
        return False
    reading = Reading(head)

    def goes_on(at: int, there: int, here: int, is_filled: bool) -> bool:
        if at == len(said):
            return here == len(own) and gives_way(there, len(head), is_filled)
        is_one = here == 0 and own[0].text in ONE and not said[at].has("number")
        is_own = here < len(own) and (said[at].is_same(own[here]) or is_one)
        if is_own and goes_on(at + 1, there, here + 1, True):
            return True
        return any(
            goes_on(at + 1, place + 1, here, False)
            for place in range(there, len(head))
            if said[at].is_same(head[place])
            and gives_way(there, place, is_filled)
        )

    def gives_way(start: int, end: int, is_filled: bool) -> bool:
        is_fronted = not start and part[0].has(*BEGINS) and not any(w.is_wanted for w in head[:end])
        return _may_fill(head[start:end]) or is_fronted if is_filled else reading.may_drop(start, end)

    return goes_on(0, 0, 0, False)


def _may_fill(gap: Words) -> bool:
    """Whether words of a clause may have given way to those of the next one."""
    return any(word.is_wanted and not word.has("preposition") for word in gap) and not any(word.has("negation", "condition", "reported", "modal") for word in gap)



def follows(
    sentence: str, line: str, language: str, lead: str = "", before: str = "",
    outer: frozenset[str] = frozenset(),
) -> bool:  # fmt: skip
    """Whether a wording of a sentence is one of the readings of a line.

    lead    what heads a list of which the line is an item
    before  the sentence before, of whose subject is a line that begins with a pronoun
    outer   stems of titles, which a sentence may name besides

    >>> follows("In 1811 the mill was built.", "The mill was built in 1811. It leans.", "english")
    True
    """
    claim, words, head, context = (
        words_of(bare(text), language) for text in (sentence, line, lead, before)
    )
    known = outer.union(*(word.stems for word in (*words, *head, *context)))
    if not all(_is_known(word, known) for word in claim):
        return False
    bound = next((n for n, word in enumerate(head) if word.has("relative")), len(head))
    if any(word.has("negation", "condition", "reported", "time") for word in head[:bound]):
        lines = []
    else:
        lines = [words]
    if head:
        these = next((n for n, word in enumerate(head) if word.text in THESE), len(head))
        lines.append(head[:these] + words + head[these + 1 :])
    link, rest = split_opening(words)
    if rest and rest[0].has("subject"):
        begin = subjects(context, claim) if context else _outer_subjects(claim, outer)
        lines = [link + subject + rest[1:] for subject in begin] + lines * (not context)
    claims = [claim, *without_context(claim, outer)]
    claims += without_owner(claim, (*context, *words))
    if any(_says(each, said) for said in claims for each in lines):
        return True
    parts = [part for part in _parts_of(claim) if part]
    return len(parts) > 1 and all(any(_says(each, part) for each in lines) for part in parts)


def _is_known(word: Word, known: frozenset[str]) -> bool:
    is_free = not word.is_wanted or word.has("negation", "preposition") or word.is_weak
    return is_free or not word.stems.isdisjoint(known)


def _says(line: Words, claim: Words) -> bool:
    for wording in wordings(claim):
        stems = [word.stems for word in wording if word.is_wanted and not word.has("negation", "modal")]
        for reading in dict.fromkeys(readings(line, wording)):
            known = frozenset[str]().union(*(word.stems for word in reading))
            if not any(each.isdisjoint(known) for each in stems) and Reading(reading).says(wording):
                return True
    return False


def _parts_of(claim: Words) -> Iterator[Words]:
    """The clauses of a sentence that joins several, each with a subject of its own."""
    start = 0
    for at in range(1, len(claim)):
        if claim[at - 1].text in ("and", "but", "while", ";", "und", "et", "y") and begins_anew(claim[at:]):
            yield claim[start : at - 1]
            start = at
    yield claim[start:]


def _outer_subjects(claim: Words, outer: frozenset[str]) -> Iterator[Words]:
    """The first words of a sentence that a title has: "the ferry" in ferry.md."""
    for at, word in enumerate(claim):
        if word.is_wanted and word.stems.isdisjoint(outer):
            return
        if word.is_wanted:
            yield claim[: at + 1]


def without_context(claim: Words, outer: frozenset[str]) -> Iterator[Words]:
    """A sentence without a part that only says of what titles tell: "the deposit for a punt"."""
    for start, end in _known_parts(claim, outer):
        is_of = claim[start].has("preposition", "place") or claim[start].text in OF
        after = claim[end : end + 1]
        if is_of or after and (after[0].is_wanted or after[0].has("genitive")):
            yield claim[:start] + claim[end:]


def without_owner(claim: Words, line: Words) -> Iterator[Words]:
    """A sentence without "of the kiln", if a line has "its", or "the arch of the kiln" before."""
    said = [word for word in line if word.is_wanted and not word.has(*BEGINS)]
    is_own = any(word.text in OWN for word in line)
    for start, end in _known_parts(claim, frozenset[str]().union(*(word.stems for word in line))):
        named = [word for word in claim[max(0, start - 1) : end] if word.is_wanted]
        is_named = any(
            all(a.is_same(b) for a, b in zip(named, said[at:], strict=False))
            for at in range(len(said) - len(named) + 1)
        )
        after = claim[end : end + 1]
        if claim[start].text in OF and (is_own or is_named) or is_own and after and after[0].has("genitive"):
            yield claim[:start] + claim[end:]


def _known_parts(claim: Words, known: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Where a sentence has words that are known besides, behind "of" and the like or without."""
    for start, first in enumerate(claim):
        is_of = first.has("preposition", "place") or first.text in OF
        for end in range(start + 1 + is_of, len(claim) + 1):
            last = claim[end - 1]
            if last.has("number", "mark", "joint") or last.is_wanted and last.stems.isdisjoint(known):
                break
            if last.is_wanted and (is_of or first.is_wanted):
                yield start, end


def without_source(sentence: str) -> str:
    """A sentence without the document that it names: "According to the manual, …"."""
    return SOURCE.sub("", sentence)


def bare(text: str) -> str:
    """A text without the mark of its item and without notes: "1. Open the valve[2]".

    >>> bare("1. Open the valve.[2]"), bare("The mill leans.¹")
    ('Open the valve.', 'The mill leans.')
    """
    return NOTE.sub("", LIST_MARK.sub("", text))
