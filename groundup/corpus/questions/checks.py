"""Checks that reject questions found by a rule.

A reader must be able to answer from the slice alone: no reference to other text, no pronoun as a
subject, nothing truncated, nothing that the question reveals.
"""

import re

POINTS_ELSEWHERE = re.compile(
    r"(?i:\b(?:see|above|below|following|follows|latter|former|aforementioned|here|hereby|previous|"
    r"previously|as shown)\b|\b(?:this|these|those|such)\b(?! (?:as|that)\b)|https?:)|"
    r"\b(?:[Ss]ection|[Tt]able|[Ff]igure|[Cc]hapter|[Aa]ppendix|PEP|RFC) [\dA-Z]"
)
BEGINS_BADLY = re.compile(
    r"(?:it|its|this|that|they|their|these|those|he|she|there|we|you|i|which|who|and|or|but|also|"
    r"instead|otherwise|then|so|as|note|e\.g\.?|i\.e\.?|unless)\b",
    re.IGNORECASE,
)
ENDS_BADLY = re.compile(
    r"(?:[-,(:/=“‘]|\b(?:the|an?|of|to|and|or|is|are|was|with|by|for|in|on|at|that|which|than|from|as|"
    r"not|be|e\.?g|i\.?e|etc))$",
    re.IGNORECASE,
)
MARKUP = re.compile(
    r"::|[|{}\\]|<<|`|\*\*|\]\[|\[\d+\]|&\w+;|(?<!\w)\*\w+\*|\t|"
    r"(?<!\be\.g)(?<!\bi\.e)(?<!\betc)[.?!] \w"
)
WORD = re.compile(r"\w+")
COMMON = frozenset(
    "a an and are as at be by can do does for from how if in is it its of on or that the this to "
    "used using was what when where which will with you your value".split()
)
BRACKET_PAIRS = ("()", "[]", "{}", "“”", "‘’", "<>")
MAX_REVEALED_SHARE = 0.6


def rejection_reason(question: str, answer: str, max_words: int = 25) -> str:
    """Why a question is rejected; empty if it is accepted."""
    words = WORD.findall(answer)
    if not words and len(answer) > 6 or not answer:
        return "no words"
    if len(answer.split()) > max_words or len(question.split()) > 45:
        return "too long"
    prose = len(words) > 1
    said = answer if prose else ""
    if POINTS_ELSEWHERE.search(said) or POINTS_ELSEWHERE.search(_without_title(question)):
        return "points elsewhere"
    if words and BEGINS_BADLY.match(answer):
        return "begins with a pronoun"
    if ENDS_BADLY.search(said) or not (_is_balanced(said) and _is_balanced(question)):
        return "cut off"
    if MARKUP.search(said) or MARKUP.search(question.replace("`", "")):
        return "markup"
    return "given away" if _reveals_answer(question, answer) else ""


def _without_title(question: str) -> str:
    """A question without the document's title in it."""
    return re.sub(r"“[^”]*”", "", question)


def _is_balanced(text: str) -> bool:
    """Whether every bracket and quote that opens is closed."""
    bare = re.sub(r"[<>-]=|[-=]>|\s[<>]\s", " ", text)
    return all(bare.count(opens) == bare.count(closes) for opens, closes in BRACKET_PAIRS) and (
        bare.count('"') % 2 == 0
    )


def _reveals_answer(question: str, answer: str) -> bool:
    """Whether the question contains its answer, or most of its content words."""
    there = WORD.findall(question.casefold())
    said = WORD.findall(answer.casefold())
    if said and f" {' '.join(said)} " in f" {' '.join(there)} ":
        return True
    matter = {word for word in said if word not in COMMON}
    if matter and not matter - {*there, "object", "class", "instance", "function", "method"}:
        return True  # a Semaphore is a semaphore object
    return len(matter) > 2 and len(matter & set(there)) > MAX_REVEALED_SHARE * len(matter)
