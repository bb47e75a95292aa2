"""The end of a mail: signatures, mailing-list footers, advertisements, legal disclaimers.

A signature is a delimiter (RFC 3676, section 4.3) with few short lines below it; a delimiter
without its trailing space counts if no prose follows. Footers are the last paragraphs. Words such
as `mailing list` count only below a rule. Elsewhere a footer must begin like one (`To
unsubscribe`), follow the author's text, ask nothing and not use the first person. Known error: an
author's own last paragraph in exactly that form is taken for a footer.
"""

from .mail_lines import (
    CONFIDENTIAL,
    CONTACT,
    DELIMITER,
    DIRECT_QUESTION,
    DISCLAIMER,
    FIRST_PERSON,
    FOOTER,
    FOOTER_START,
    LONG_LINE,
    LOWERCASE_SENTENCE,
    NAME_ALONE,
    PHONE,
    REFERS_TO_MAIL,
    RULE,
    SENTENCE_START,
    SHORT_RULE,
    SIGNATURE_NAME,
    TITLED_RULE,
    UNMARKED_SIGNATURE,
    URL_ONLY,
)

ANY_RULE = (RULE, SHORT_RULE, TITLED_RULE)
SIGNATURE_WIDTH, QUOTE_STARTS = 100, " \t\"'“«"
EXACT_DELIMITERS = ("-- ", "- -- ")
"""Delimiters of RFC 3676; the second with PGP's dash-escaping."""


def mark_signatures(lines: list[str], kinds: list[str], max_lines: int) -> None:
    """Mark signatures, from a delimiter to the next quote, delimiter or end."""
    starts = [at for at, line in enumerate(lines) if not kinds[at] and DELIMITER.match(line)]
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else len(lines)
        end = next((at for at in range(start, end) if kinds[at]), end)
        end = next((at for at in range(start + 1, end) if _is_footer_rule(lines, at)), end)
        content = [line for line in lines[start + 1 : end] if line.strip()]
        if len(content) > max_lines or any(len(line) > SIGNATURE_WIDTH for line in content):
            continue
        if _has_footer_form(content, has_rule=True):
            kind = "f"
        elif lines[start] in EXACT_DELIMITERS or (
            content
            and (not _begins_like_prose(content) or NAME_ALONE.match(lines[max(0, start - 1)]))
        ):
            kind = "s"
        else:
            continue
        for at in range(start, end):
            kinds[at] = kind


def _begins_like_prose(content: list[str]) -> bool:
    """Whether lines begin with a sentence or the first person; quoted and indented lines do not
    count.
    """
    own = [line[:LONG_LINE] for line in content if line[:1] not in QUOTE_STARTS]
    return bool(own) and (
        SENTENCE_START.search(content[0][:LONG_LINE]) is not None or _is_personal(own[:1])
    )


def mark_unmarked_signature(lines: list[str], kinds: list[str]) -> None:
    """Mark a last paragraph that begins with a rule, dash or name and gives contact details."""
    end = len(lines)
    while end > 0 and (not lines[end - 1].strip() or kinds[end - 1] in ("f", "q")):
        end -= 1
    start = end
    while start > 0 and lines[start - 1].strip() and not kinds[start - 1]:
        start -= 1
    start = _signature_start(lines, start, end)
    block = lines[start:end]
    is_short = all(len(line) <= 80 for line in block)
    if is_short and any(CONTACT.search(line) or PHONE.search(line) for line in block):
        for at in range(start, end):
            kinds[at] = "s"


def _signature_start(lines: list[str], start: int, end: int) -> int:
    """Line at which a signature may begin in the last paragraph; `end` if none."""
    for at in range(max(start, end - 9), end):
        line = lines[at][:LONG_LINE]
        if RULE.match(line) or SHORT_RULE.match(line):
            content = [other for other in lines[at + 1 : end] if other.strip()]
            return end if content and SHORT_RULE.match(line) and _begins_like_prose(content) else at
    if end - start <= 5 and start < end and UNMARKED_SIGNATURE.match(lines[start]):
        is_list = sum(UNMARKED_SIGNATURE.match(line) is not None for line in lines[start:end]) > 1
        return end if is_list or LOWERCASE_SENTENCE.search(lines[start][:LONG_LINE]) else start
    for at in range(max(start, end - 8), end - 1):
        if SIGNATURE_NAME.match(lines[at][:LONG_LINE]):
            prose = any(LOWERCASE_SENTENCE.search(line[:LONG_LINE]) for line in lines[at:end])
            return end if prose else at
    return end


def _is_footer_rule(lines: list[str], at: int) -> bool:
    """Whether a rule opens the footer of a list or an advertiser."""
    line = lines[at][:LONG_LINE]
    if not any(rule.match(line) for rule in ANY_RULE):
        return False
    return _has_footer_form(lines[at : at + 4], has_rule=True)


def mark_footers(lines: list[str], kinds: list[str], max_lines: int) -> None:
    """Mark final paragraphs about lists, advertisements or confidentiality."""
    _mark_disclaimer(lines, kinds)
    end = len(lines)
    first_said = next((at for at in range(end) if lines[at].strip() and not kinds[at]), end)
    while end > 0:
        while end > 0 and (not lines[end - 1].strip() or kinds[end - 1]):
            end -= 1
        start = end
        while start > 0 and lines[start - 1].strip() and not kinds[start - 1]:
            start -= 1
            if _is_footer_rule(lines, start):
                break
        block = lines[start:end]
        rules = (_is_footer_rule(lines, at) for at in range(max(0, end - max_lines), end))
        is_above_one, is_short = "f" in kinds[end:], len(block) <= max_lines
        if not block:
            break
        if not is_short or not _is_footer(block, any(rules), is_above_one, start > first_said):
            if len(block) == 1 or not _is_list_address(block[-1]):
                break
            start = end - 1  # the list's URL directly below the author's text
        for at in range(start, end):
            kinds[at] = "f"
        if start == end - 1 and len(block) > 1:
            break
        end = start


def _mark_disclaimer(lines: list[str], kinds: list[str]) -> None:
    """Mark from a title such as `E-mail disclaimer:` or `Confidentiality notice` to the end."""
    for at in range(max(0, len(lines) - 60), len(lines)):
        if kinds[at] or not DISCLAIMER.match(lines[at][:LONG_LINE]):
            continue
        above = lines[at - 1][:LONG_LINE] if at else ""
        if above.strip() and not RULE.match(above):
            continue
        end = next((index for index in range(at, len(lines)) if kinds[index]), len(lines))
        if _is_disclaimer(lines[at:end]):
            rules = [
                index for index in range(max(0, at - 2), at) if RULE.match(lines[index][:LONG_LINE])
            ]
            start = rules[0] if rules else at
            kinds[start:end] = ["f"] * (end - start)
            return


def _is_footer(block: list[str], has_rule: bool, is_above_footer: bool, is_last: bool) -> bool:
    """Whether a paragraph at the end is a footer."""
    if is_above_footer and len(block) == 1 and (URL_ONLY.match(block[0]) or RULE.match(block[0])):
        return True
    if not has_rule and not is_last and not _is_list_address(block[0]):
        return False
    return _is_disclaimer(block) or _has_footer_form(block, has_rule)


def _has_footer_form(block: list[str], has_rule: bool) -> bool:
    """Whether lines have the form of a footer; below a rule or delimiter one footer phrase
    suffices.
    """
    if _is_personal(block):
        return False
    if has_rule:
        return any(FOOTER.search(line[:LONG_LINE]) for line in block)
    return FOOTER_START.match(" ".join(line[:LONG_LINE].strip() for line in block)) is not None


def _is_disclaimer(block: list[str]) -> bool:
    """Whether lines state for whom a mail is intended."""
    text = " ".join(line[:LONG_LINE] for line in block)
    words = {phrase.lower() for phrase in CONFIDENTIAL.findall(text)}
    return len(words) >= 3 and REFERS_TO_MAIL.search(text) is not None and not _is_personal(block)


def _is_personal(block: list[str]) -> bool:
    """Whether lines ask something or use the first person, so that a person wrote them."""
    text = " ".join(line[:LONG_LINE].strip() for line in block)
    return FIRST_PERSON.search(text) is not None or DIRECT_QUESTION.search(text) is not None


def _is_list_address(line: str) -> bool:
    """Whether a line is only the URL of a mailing list."""
    return URL_ONLY.match(line) is not None and FOOTER.search(line[:LONG_LINE]) is not None
