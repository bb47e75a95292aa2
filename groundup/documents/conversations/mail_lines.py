"""The lines of mails as patterns: marks of quotes, attributions, delimiters, footers, headers.

Each is matched on one line, and on 400 characters of it at most. Sources: RFC 3676 (quotes and the
delimiter of signatures), RFC 9580 (PGP's armour and the dash before a dash), the development mails
of benchmarks/conversations.py. Knows nothing of where in a mail a line stands; see mail.py.
"""

import re

QUOTED = re.compile(r"[ \t]{0,3}[`']?>|[ \t]{0,8}[A-Za-z]{1,4}>(?= )")
MARK = re.compile(r"[ \t]{0,6}(?:[A-Za-z]{0,4}>|--?\]|[|:)}\]](?=[ \t\n]))")
CITED = re.compile(r"[ \t]{1,8}[A-Z]\w{0,15}>(?= )")
"""A line quoted under its author's name, where a first line says that the mail does so."""
BAR = re.compile(r"[ \t]{0,4}\|(?: .*[^|\s]| ?)\s*$")
VERBS = (
    r"wrote|writes|write|said|says|mentioned|stated|confessed|spake|typed|thought|scribbled|asked|"
    r"replied|responded|added|noted|posted|claimed|claiming|schrieb(?:en)?|schreibt|sprach|"
    r"a [ée]crit|[ée]crit|escribi[óo]|scrisse|ha scritto|schreef|skrev|napisa[łl]a?|пишет|"
    r"написал\w*|kirjoitti|escreveu|yazdı|írta|wisdom included|"
    r"is (?:thought|said|rumoured) to have"
)
DATE = (
    r"(?:\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}|\d{4}-\d\d-\d\d|\b\d{1,2}\.? [A-Z]\w{2,8}\.? \d{4}\b"
    r"|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\w*,?)"
)
ADDRESS = r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,6}"
NAME = r"[A-Z][\w.'’-]{0,30}(?: [A-Z][\w.'’-]{0,30}){0,3}"
SINCE = "On|At|Le|Am|El|Il|Op|Den|Em"
ATTRIBUTION = re.compile(
    rf"(?:.{{0,200}}\b(?:{VERBS})\b.{{0,80}}"
    rf"|(?:--?\s?)?(?:{SINCE}|W dniu)\b.{{0,160}}{DATE}.{{0,160}}|.{{0,160}}{ADDRESS}.{{0,60}}"
    rf"|{NAME}(?: \w{{2,14}}(?:ed|es|ays|ote|aid))?"
    r"|Quoting .{1,120})[ \t]*\*?[:;,]?[ \t]*$",
    re.IGNORECASE,
)
STARTS = re.compile(rf"(?:--?\s?)?(?:{SINCE}|In article|In message)\b", re.IGNORECASE)
BRACKETED = re.compile(rf"\[{NAME}\][ \t]*:?[ \t]*$|\* .{{2,60}} \[\d{{4}}-.{{2,40}}\]:?[ \t]*$")
SUPERCITED = re.compile(r">{2,}[ \t]*\S.{0,120}(?:writes|wrote|said):?[ \t]*$")
FORWARDED = re.compile(
    r"-{3,}[ \t]{0,3}(?:Original Message|Forwarded (?:by|message)|begin(?:ning of)? forwarded|"
    r"Ursprüngliche Nachricht|Message d'origine|Mensaje original)\b.*|Begin forwarded message:",
    re.IGNORECASE,
)
SNIPPED = re.compile(
    r"[ \t]*(?:[\[<(*-]{1,3}[ /]?(?:snip\w*|cut|\.{2,5}|…)[^\w\n]{0,6}.{0,20}|\.{3,5}|…)[ \t]*$",
    re.IGNORECASE,
)
DELIMITER = re.compile(r"(?:- )?--[ \t]*$|—[ \t]*$")  # `- --`: PGP puts a dash before a dash
RULE = re.compile(r"[ \t]*(?:[-_=*~#]{10,}|-{3,}\(.{1,60}\)-{3,})[ \t]*$")
DASHES = re.compile(r"[ \t]*-{8,}[ \t]*$")
SHORT_RULE = re.compile(r"[ \t]*(?:- )?(?:[-_]{3,}|<[-*]+>[\s<*>-]*)[ \t]*$")
FOOTERS = (
    r"mailing[- ]list\b", r"un(?:-|\))?subscri", "subscribe to (?:this|the)", "/listinfo/",
    "majordomo@", "List maintainer", r"list-?(?:owner|admin|archives?)\b", "Do You Yahoo",
    "Yahoo! (?:Mail|Groups|Messenger|Digital)", "MSN ", "Hotmail", "sponsored by", "Get your free",
    "Sign ?up (?:for|now)", "Sent from my ", "Sent via ", "Envoyé de ",
    "scanned (?:by|for) (?:virus|mail)", "virus[- ]free", "email has been (?:swept|scanned)",
    "You(?:'re| are)? (?:have )?receiv(?:ed|ing) this",
    "change your (?:preferences|subscription)",
    r"(?:Copyright|©|\(c\)) .{0,60}(?:All rights reserved|\d{4})", r"TIP \d+:",
    "Get .{1,40} (?:FREE|here)", r"(?:FREE|your) subscription\b", "Subscribe now",
    "switch to the .{1,20} digest", "stop receiving", "visit our (?:web ?)?site",
    "Your use of .{1,30} is subject to",
)  # fmt: skip
FOOTER = re.compile("|".join(FOOTERS), re.IGNORECASE)
CONFIDENTIAL = re.compile(
    r"confidential|privileged|intended (?:solely|only|recipient|addressee|for)|addressee|"
    r"disclos(?:e|ure)|unauthori[sz]ed|in error|prohibited|unlawful|notify the sender|"
    r"contact the sender|vertraulich|confidentiel|destinataire",
    re.IGNORECASE,
)
ENDED = re.compile(r"-{3,}[ \t]{0,3}End(?: of)? (?:forwarded|original)\b", re.IGNORECASE)
UNMARKED = re.compile(r"[ \t]*(?:--?|~)[ \t]{0,2}\S")
PLACE = re.compile(rf"https?://|www\.|{ADDRESS}")
PHONE = re.compile(r"\+?\(?\d{2,4}\)?[ .()/-]{1,4}\d{2,4}[ .()/-]{1,3}\d{3,}|\b(?:Tel|Phone|Fax)\b")
SIGNED = re.compile(
    r"[ \t]{0,40}(?!Many |Best |Kind |Yours |With |Warm |Thank|The |In |On |At )[A-Z][\w.'’-]{0,30}"
    r"(?: [A-Z][\w.'’-]{0,30}){1,3}(?:[ \t]*$|,?[ \t]{2,}\S|, [A-Z])"
)
SENTENCE = re.compile(r"(?:\b[a-z']{1,20}[,;]? ){4}")
DISCLAIMER = re.compile(
    r"[ \t*]*(?:(?:e-?mail |legal |important )?disclaimer|confidentiality(?: notice)?"
    r"|important email information"
    r"|this (?:e-?mail|message|communication)\b.{0,120}\b(?:confidential|intended))",
    re.IGNORECASE,
)
URL_ONLY = re.compile(r"[ \t]*<?https?://\S{1,300}[ \t]*$")
PGP = re.compile(r"-----BEGIN PGP (SIGNED MESSAGE|SIGNATURE|PUBLIC KEY BLOCK|MESSAGE)-----")
HEADER = re.compile(r"[*]?(?:[A-Z][\w-]{1,20}|Reply-To|Message-ID)[*]?:[ \t]")
REPLY = re.compile(
    r"\s*(?:(?:re|aw|antw|sv|vs|fwd?|wg|tr|rv|odp|回复|答复)(?:\[\d{1,3}\])?\s*[:：]"
    r"|\[[^\]\n]{1,40}\])\s*",
    re.IGNORECASE,
)
