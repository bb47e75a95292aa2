"""Ends of mails: signatures and footers, recognised by their form.

Each pattern is matched against one line, at most `LONG_LINE` characters of it; phrases are in
mail_lines.toml. Sources: RFC 3676 (signature delimiters), the development mails of
benchmarks/documents/conversations.py.
"""

import re
from pathlib import Path

from ..patterns import read_patterns

LONG_LINE = 400
"""Characters of a line that are examined."""
PHRASES = read_patterns(Path(__file__).with_name("mail_lines.toml"))
ADDRESS = r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,6}"
DELIMITER = re.compile(r"(?:- )?--[ \t]*$|—[ \t]*$")  # `- --`: PGP's dash-escaping
RULE = re.compile(r"[ \t]*(?:[-_=*~#]{10,}|-{3,}\(.{1,60}\)-{3,})[ \t]*$")
TITLED_RULE = re.compile(r"[ \t]*-{4,} ?\w.{1,60}-{4,}[~>-]{0,4}[ \t]*$")
SHORT_RULE = re.compile(r"[ \t]*(?:- )?(?:[-_]{3,}|<[-*]+>[\s<*>-]*)[ \t]*$")
FOOTER = re.compile("|".join(PHRASES["footers"]), re.IGNORECASE)
FOOTER_START = re.compile(rf"[ \t*<]*(?:{'|'.join(PHRASES['footer_starts'])})", re.IGNORECASE)
"""How a footer begins that no rule announces."""
FIRST_PERSON = re.compile(
    r"\bI(?:['’](?:m|ve|d|ll))?(?= [a-z])|\b(?:(?<!from )[Mm]y|ich|mich|mein\w{0,2}) [a-z]"
    r"|\bj['’][aeéiouh]|\b(?:je|yo) [a-z]"
)
DIRECT_QUESTION = re.compile(
    r"\b(?:How|Why|What|When|Where|Who|Which|Can|Could|Does|Did|Is|Are|Has|Should|Would|Will|Any\w+"
    r"|Wie|Warum|Wer|Was|Wo|Kann|Ist|Comment|Pourquoi|Cómo|Por qué|Come|Perché)\b[^.!?\n]{2,200}\?"
)
CONFIDENTIAL = re.compile("|".join(PHRASES["confidential"]), re.IGNORECASE)
UNMARKED_SIGNATURE = re.compile(r"[ \t]*(?:--?|~)[ \t]{0,2}\S")
CONTACT = re.compile(rf"https?://|www\.|{ADDRESS}")
PHONE = re.compile(r"\+?\(?\d{2,4}\)?[ .()/-]{1,4}\d{2,4}[ .()/-]{1,3}\d{3,}|\b(?:Tel|Phone|Fax)\b")
SIGNATURE_NAME = re.compile(
    r"[ \t]{0,40}(?!Many |Best |Kind |Yours |With |Warm |Thank|The |In |On |At )[A-Z][\w.'’-]{0,30}"
    r"(?: [A-Z][\w.'’-]{0,30}){1,3}(?:[ \t]*$|,?[ \t]{2,}\S|, [A-Z])"
)
NAME_ALONE = re.compile(r"[ \t]*[A-Z]\w{1,20}(?: [A-Z][\w.]{0,20}){0,2}[ \t]*$")
"""A name alone: the author signed before the delimiter."""
LOWERCASE_SENTENCE = re.compile(r"(?:\b[a-z']{1,20}[,;]? ){4}")
SENTENCE_START = re.compile(
    r"(?:\b[a-z']{1,20}[,;]? ){4}|\b[a-zß-ÿ]{1,20} [a-zß-ÿ]{1,20}\b.*[.!?][ \t]*$"
)
"""A sentence in the first line below a delimiter; names and addresses are not."""
DISCLAIMER = re.compile(
    r"[ \t*]*(?:(?:(?:e-?mail |legal |important )?disclaimer|confidentiality(?: (?:notice|note))?"
    r"|important email information)[ \t]*(?:[:.*=–-]|$)"
    r"|this (?:e-?mail|message|communication)\b.{0,120}\b(?:confidential|intended))",
    re.IGNORECASE,
)
REFERS_TO_MAIL = re.compile("|".join(PHRASES["addressed"]), re.IGNORECASE)
"""A disclaimer refers to the mail that contains it."""
URL_ONLY = re.compile(r"[ \t]*<?https?://\S{1,300}[ \t]*$")


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
        kinds[start:end] = [kind] * (end - start)


def _begins_like_prose(content: list[str]) -> bool:
    """Whether lines begin with a sentence or the first person; no quoted or indented lines."""
    own = [line[:LONG_LINE] for line in content if line[:1] not in QUOTE_STARTS]
    is_sentence = SENTENCE_START.search(content[0][:LONG_LINE]) is not None
    return bool(own) and (is_sentence or _is_personal(own[:1]))


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
        kinds[start:end] = ["s"] * (end - start)


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
        kinds[start:end] = ["f"] * (end - start)
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
            near = range(max(0, at - 2), at)
            start = next((i for i in near if RULE.match(lines[i][:LONG_LINE])), at)
            kinds[start:end] = ["f"] * (end - start)
            return


def _is_footer(block: list[str], has_rule: bool, is_above_footer: bool, is_last: bool) -> bool:
    if is_above_footer and len(block) == 1 and (URL_ONLY.match(block[0]) or RULE.match(block[0])):
        return True
    if not has_rule and not is_last and not _is_list_address(block[0]):
        return False
    return _is_disclaimer(block) or _has_footer_form(block, has_rule)


def _has_footer_form(block: list[str], has_rule: bool) -> bool:
    """Whether lines have the form of a footer; below a rule or delimiter one phrase suffices."""
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
    return URL_ONLY.match(line) is not None and FOOTER.search(line[:LONG_LINE]) is not None
