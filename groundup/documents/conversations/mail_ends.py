"""The end of a mail: signatures, mailing-list footers, advertisements, legal disclaimers.

A signature is a delimiter (RFC 3676, section 4.3) with few short lines below it; a delimiter
without its trailing space counts if no prose follows. Footers are the last paragraphs. Words such
as `mailing list` count only below a rule. Elsewhere a footer must begin like one (`To
unsubscribe`), follow the author's text, ask nothing and not use the first person. Known error: an
author's own last paragraph in exactly that form is taken for a footer.
"""

from .mail_lines import (
    ASKED,
    CONFIDENTIAL,
    DELIMITER,
    DISCLAIMER,
    FOOTER,
    LONG_LINE,
    MEANT,
    NAMED,
    PHONE,
    PLACE,
    RULE,
    SENTENCE,
    SHORT_RULE,
    SIGNED,
    STATED,
    TITLED_RULE,
    TOLD,
    UNMARKED,
    URL_ONLY,
    VOICE,
)

RULES = (RULE, SHORT_RULE, TITLED_RULE)
SIGNATURE_WIDTH, CITING = 100, " \t\"'“«"
EXACT = ("-- ", "- -- ")
"""Delimiters of RFC 3676; the second with PGP's dash-escaping."""


def mark_signatures(lines: list[str], kinds: list[str], max_lines: int) -> None:
    """Mark signatures, from a delimiter to the next quote, delimiter or end."""
    starts = [at for at, line in enumerate(lines) if not kinds[at] and DELIMITER.match(line)]
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else len(lines)
        end = next((at for at in range(start, end) if kinds[at]), end)
        end = next((at for at in range(start + 1, end) if is_rule_of_footer(lines, at)), end)
        content = [line for line in lines[start + 1 : end] if line.strip()]
        if len(content) > max_lines or any(len(line) > SIGNATURE_WIDTH for line in content):
            continue
        if is_stated(content, is_announced=True):
            kind = "f"
        elif lines[start] in EXACT or (
            content and (not is_prose(content) or NAMED.match(lines[max(0, start - 1)]))
        ):
            kind = "s"
        else:
            continue
        for at in range(start, end):
            kinds[at] = kind


def is_prose(content: list[str]) -> bool:
    """Whether lines begin with a sentence or the first person; quoted and indented lines do not
    count.
    """
    own = [line[:LONG_LINE] for line in content if line[:1] not in CITING]
    return bool(own) and (TOLD.search(content[0][:LONG_LINE]) is not None or is_voiced(own[:1]))


def mark_unmarked_signature(lines: list[str], kinds: list[str]) -> None:
    """Mark a last paragraph that begins with a rule, dash or name and gives contact details."""
    end = len(lines)
    while end > 0 and (not lines[end - 1].strip() or kinds[end - 1] in ("f", "q")):
        end -= 1
    start = end
    while start > 0 and lines[start - 1].strip() and not kinds[start - 1]:
        start -= 1
    start = signature_start(lines, start, end)
    block = lines[start:end]
    is_short = all(len(line) <= 80 for line in block)
    if is_short and any(PLACE.search(line) or PHONE.search(line) for line in block):
        for at in range(start, end):
            kinds[at] = "s"


def signature_start(lines: list[str], start: int, end: int) -> int:
    """Line at which a signature may begin in the last paragraph; `end` if none."""
    for at in range(max(start, end - 9), end):
        line = lines[at][:LONG_LINE]
        if RULE.match(line) or SHORT_RULE.match(line):
            content = [other for other in lines[at + 1 : end] if other.strip()]
            return end if content and SHORT_RULE.match(line) and is_prose(content) else at
    if end - start <= 5 and start < end and UNMARKED.match(lines[start]):
        is_list = sum(UNMARKED.match(line) is not None for line in lines[start:end]) > 1
        return end if is_list or SENTENCE.search(lines[start][:LONG_LINE]) else start
    for at in range(max(start, end - 8), end - 1):
        if SIGNED.match(lines[at][:LONG_LINE]):
            prose = any(SENTENCE.search(line[:LONG_LINE]) for line in lines[at:end])
            return end if prose else at
    return end


def is_rule_of_footer(lines: list[str], at: int) -> bool:
    """Whether a rule opens the footer of a list or an advertiser."""
    line = lines[at][:LONG_LINE]
    if not any(rule.match(line) for rule in RULES):
        return False
    return is_stated(lines[at : at + 4], is_announced=True)


def mark_footers(lines: list[str], kinds: list[str], max_lines: int) -> None:
    """Mark final paragraphs about lists, advertisements or confidentiality."""
    mark_disclaimer(lines, kinds)
    end = len(lines)
    first_said = next((at for at in range(end) if lines[at].strip() and not kinds[at]), end)
    while end > 0:
        while end > 0 and (not lines[end - 1].strip() or kinds[end - 1]):
            end -= 1
        start = end
        while start > 0 and lines[start - 1].strip() and not kinds[start - 1]:
            start -= 1
            if is_rule_of_footer(lines, start):
                break
        block = lines[start:end]
        rules = (is_rule_of_footer(lines, at) for at in range(max(0, end - max_lines), end))
        is_above_one, is_short = "f" in kinds[end:], len(block) <= max_lines
        if not block:
            break
        if not is_short or not is_footer(block, any(rules), is_above_one, start > first_said):
            if len(block) == 1 or not is_list_address(block[-1]):
                break
            start = end - 1  # the list's URL directly below the author's text
        for at in range(start, end):
            kinds[at] = "f"
        if start == end - 1 and len(block) > 1:
            break
        end = start


def mark_disclaimer(lines: list[str], kinds: list[str]) -> None:
    """Mark from a title such as `E-mail disclaimer:` or `Confidentiality notice` to the end."""
    for at in range(max(0, len(lines) - 60), len(lines)):
        if kinds[at] or not DISCLAIMER.match(lines[at][:LONG_LINE]):
            continue
        above = lines[at - 1][:LONG_LINE] if at else ""
        if above.strip() and not RULE.match(above):
            continue
        end = next((index for index in range(at, len(lines)) if kinds[index]), len(lines))
        if is_disclaimer(lines[at:end]):
            rules = [
                index for index in range(max(0, at - 2), at) if RULE.match(lines[index][:LONG_LINE])
            ]
            start = rules[0] if rules else at
            kinds[start:end] = ["f"] * (end - start)
            return


def is_footer(block: list[str], is_announced: bool, is_above_one: bool, is_last: bool) -> bool:
    """Whether a paragraph at the end is a footer."""
    if is_above_one and len(block) == 1 and (URL_ONLY.match(block[0]) or RULE.match(block[0])):
        return True
    if not is_announced and not is_last and not is_list_address(block[0]):
        return False
    return is_disclaimer(block) or is_stated(block, is_announced)


def is_stated(block: list[str], is_announced: bool) -> bool:
    """Whether lines have the form of a footer; below a rule or delimiter one footer phrase
    suffices.
    """
    if is_voiced(block):
        return False
    if is_announced:
        return any(FOOTER.search(line[:LONG_LINE]) for line in block)
    return STATED.match(" ".join(line[:LONG_LINE].strip() for line in block)) is not None


def is_disclaimer(block: list[str]) -> bool:
    """Whether lines state for whom a mail is intended."""
    text = " ".join(line[:LONG_LINE] for line in block)
    words = {phrase.lower() for phrase in CONFIDENTIAL.findall(text)}
    return len(words) >= 3 and MEANT.search(text) is not None and not is_voiced(block)


def is_voiced(block: list[str]) -> bool:
    """Whether lines ask something or use the first person, so that a person wrote them."""
    text = " ".join(line[:LONG_LINE].strip() for line in block)
    return VOICE.search(text) is not None or ASKED.search(text) is not None


def is_list_address(line: str) -> bool:
    """Whether a line is only the URL of a mailing list."""
    return URL_ONLY.match(line) is not None and FOOTER.search(line[:LONG_LINE]) is not None
