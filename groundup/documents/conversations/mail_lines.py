"""Patterns of mail lines: quote prefixes, attributions, delimiters, footers, headers.

Each is matched against one line, at most `LONG_LINE` characters of it; phrases are in
mail_lines.toml. Sources: RFC 3676 (quotes and signature delimiters), RFC 9580 (PGP armour and
dash-escaping), the development mails of benchmarks/conversations.py.
"""

import re
from pathlib import Path

from ..steps import read_patterns

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
