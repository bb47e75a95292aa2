"""Lines of mails: their patterns, and what stands at the end of a mail.

Each pattern is matched against one line, at most `LONG_LINE` characters of it; phrases are in
mail_lines.toml. Signatures and footers are recognised by form. Sources: RFC 3676 (quotes and
signature delimiters), RFC 9580 (PGP armour and dash-escaping), the development mails of
benchmarks/conversations.py.
"""

import re
from pathlib import Path

from ..patterns import read_patterns

LONG_LINE = 400
"""Characters of a line that are examined."""
QUOTE_PREFIX = re.compile(r"[ \t]{0,3}[`']?>|[ \t]{0,8}[A-Za-z]{1,4}>(?= )")
LINE_PREFIX = re.compile(r"[ \t]{0,6}(?:[A-Za-z]{0,4}>|--?\]|[|:)}\]](?=[ \t\n]))")
NAMED_QUOTE_PREFIX = re.compile(r"[ \t]{1,8}[A-Z]\w{0,15}>(?= )")
"""A line quoted under its author's name, if a first line announces that form."""
BAR_PREFIX = re.compile(r"[ \t]{0,4}\|(?: .*[^|\s]| ?)\s*$")
_PHRASES = read_patterns(Path(__file__).with_name("mail_lines.toml"))
ATTRIBUTION_VERBS = "|".join(_PHRASES["attribution_verbs"])
DATE = (
    r"(?:\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}|\d{4}-\d\d-\d\d|\b\d{1,2}\.? [A-Z]\w{2,8}\.? \d{4}\b"
    r"|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\w*,?|\d{4}年\d{1,2}月\d{1,2}日)"
)
ADDRESS = r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,6}"
NAME = r"[A-Z][\w.'’-]{0,30}(?: [A-Z][\w.'’-]{0,30}){0,3}"
NOT_NAMES = "|".join(_PHRASES["not_names"])
DATE_PREPOSITIONS = "On|At|Le|Am|El|Il|Op|Den|Em"
ATTRIBUTION = re.compile(
    rf"(?:.{{0,200}}\b(?:{ATTRIBUTION_VERBS})\b.{{0,80}}"
    rf"|(?:--?\s?)?(?:{DATE_PREPOSITIONS}|W "
    rf"dniu)\b.{{0,160}}{DATE}.{{0,160}}|.{{0,160}}{ADDRESS}.{{0,60}}"
    rf"|(?-i:(?!{NOT_NAMES}\b){NAME})(?: \w{{2,14}}(?:ed|es|ays|ote|aid))?"
    r"|Quoting .{1,120})[ \t]*\*?[:;,]?[ \t]*$",
    re.IGNORECASE,
)
ATTRIBUTION_START = re.compile(
    rf"(?:--?\s?)?(?:{DATE_PREPOSITIONS}|In article|In message)\b", re.IGNORECASE
)
BRACKETED_NAME = re.compile(
    rf"\[{NAME}\][ \t]*:?[ \t]*$|\* .{{2,60}} \[\d{{4}}-.{{2,40}}\]:?[ \t]*$"
)
SUPERCITE_START = re.compile(r">{2,}[ \t]*\S.{0,120}(?:writes|wrote|said):?[ \t]*$")
FORWARDED = re.compile(
    r"-{3,}[ \t]{0,3}(?:Original Message|Forwarded (?:by|message)|begin(?:ning of)? forwarded|"
    r"Ursprüngliche Nachricht|Message d'origine|Mensaje original)\b.*|Begin forwarded message:",
    re.IGNORECASE,
)
ELLIPSIS = re.compile(
    r"[ \t]*(?:[\[<(*-]{1,3}[ /]?(?:snip\w*|cut|\.{2,5}|…)[^\w\n]{0,6}.{0,20}|\.{3,5}|…)[ \t]*$",
    re.IGNORECASE,
)
DELIMITER = re.compile(r"(?:- )?--[ \t]*$|—[ \t]*$")  # `- --`: PGP's dash-escaping
RULE = re.compile(r"[ \t]*(?:[-_=*~#]{10,}|-{3,}\(.{1,60}\)-{3,})[ \t]*$")
TITLED_RULE = re.compile(r"[ \t]*-{4,} ?\w.{1,60}-{4,}[~>-]{0,4}[ \t]*$")
DASHES = re.compile(r"[ \t]*-{8,}[ \t]*$")
SHORT_RULE = re.compile(r"[ \t]*(?:- )?(?:[-_]{3,}|<[-*]+>[\s<*>-]*)[ \t]*$")
FOOTER = re.compile("|".join(_PHRASES["footers"]), re.IGNORECASE)
FOOTER_START = re.compile(rf"[ \t*<]*(?:{'|'.join(_PHRASES['footer_starts'])})", re.IGNORECASE)
"""How a footer begins that no rule announces."""
FIRST_PERSON = re.compile(
    r"\bI(?:['’](?:m|ve|d|ll))?(?= [a-z])|\b(?:(?<!from )[Mm]y|ich|mich|mein\w{0,2}) [a-z]"
    r"|\bj['’][aeéiouh]|\b(?:je|yo) [a-z]"
)
DIRECT_QUESTION = re.compile(
    r"\b(?:How|Why|What|When|Where|Who|Which|Can|Could|Does|Did|Is|Are|Has|Should|Would|Will|Any\w+"
    r"|Wie|Warum|Wer|Was|Wo|Kann|Ist|Comment|Pourquoi|Cómo|Por qué|Come|Perché)\b[^.!?\n]{2,200}\?"
)
CONFIDENTIAL = re.compile("|".join(_PHRASES["confidential"]), re.IGNORECASE)
ORIGINAL_END = re.compile(r"-{3,}[ \t]{0,3}End(?: of)? (?:forwarded|original)\b", re.IGNORECASE)
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
REFERS_TO_MAIL = re.compile("|".join(_PHRASES["addressed"]), re.IGNORECASE)
"""A disclaimer refers to the mail that contains it."""
URL_ONLY = re.compile(r"[ \t]*<?https?://\S{1,300}[ \t]*$")
PGP = re.compile(r"-----BEGIN PGP (SIGNED MESSAGE|SIGNATURE|PUBLIC KEY BLOCK|MESSAGE)-----")
HEADER = re.compile(r"[*]?(?:[A-Z][\w-]{1,20}|Reply-To|Message-ID)[*]?:[ \t]")
_HEADERS = _PHRASES["original_headers"].items()
ORIGINAL_HEADER = re.compile(
    "[ \\t]{0,3}\\*{0,2}(?:"
    + "|".join(f"(?P<{role}>{'|'.join(names)})" for role, names in _HEADERS)
    + ")[ \u00a0]?\\*{0,2}(?:：|:\\*{0,2}(?:[ \u00a0\\t]|$))"
)
PYTHON_INPUT = re.compile(
    r"[ \t]{0,8}>>> ?(?:(?:import|from) [\w.]+(?:$|,| as | import )|(?:def|class|for|while|if|with"
    r"|try|async)\b.*:[ \t]*(?:\S.*)?$|(?:return|raise|assert|del|print) [\w.\"']+$|@\w"
    r"|[\w.]+(?:\[[^\]]{1,80}\])?(?:, ?\w+)* ?[-+*/|&%]?=(?!=) ?\S|[\w.]+\([^ )]*[,)\"' ]"
    r"|[\[{][\d\"'][^a-z]|-?\d[\d .+*/%()-]*$|[\"'].{0,200}[\"'\])][ \t]*$)"
)
"""A line typed at Python's prompt that cannot be a quoted sentence."""
POSSIBLE_PYTHON_INPUT = re.compile(
    r"[ \t]{0,8}>>>(?:[ \t]*[\w.]*|[ \t]+[\w.]+[ \t]*[<>=+*/%-]{1,2}[ \t]*[\w.]+)[ \t]*$"
)
"""A line that may be Python input next to one that certainly is."""
REPLY_PREFIX = re.compile(
    r"\s*(?:(?:re|aw|antw|sv|vs|fwd?|wg|tr|rv|odp|回复|答复)(?:\[\d{1,3}\])?\s*[:：]"
    r"|\[[^\]\n]{1,40}\])\s*",
    re.IGNORECASE,
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
