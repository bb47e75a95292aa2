"""News: what the story says, without byline, dateline, credits and the links around it.

Lines are matched whole and only where they can stand: bylines and dates near the top, `Read more`
and sign-up lines anywhere as paragraphs of their own, related stories and contacts at the end. The
place of a dateline stays, for the sentence needs it; the agency goes. Byline, agency and date are
kept in the metadata. Knows nothing of markup.
"""

import re
from collections.abc import Iterator

from groundup.core import Config

from ..record import PASS, Edit, Record, Ruling

LINE = re.compile(r"[^\n]*\n|[^\n]+$")
CAPITALISED = r"[A-ZÀ-Þ][\w'’.-]{0,24}"
NAME = rf"{CAPITALISED}(?: (?:(?:van|von|der|de|da|di|del|la|le|al) )?{CAPITALISED}){{1,3}}"
BY = "[Bb]y|BY|[Vv]on|[Pp]ar|[Pp]or|[Ww]ritten by|[Rr]eporting by|[Pp]osted by|[Rr]eported by"
HOUSE = "Associated Press|AP|Reuters|AFP|Staff|Special|BBC|CNN|Science|Political|Business"
POST = r".{0,20}(?:[Ww]riter|[Rr]eporter|[Cc]orrespondent|[Ee]ditor).{0,40}"
LEAD = r"[ \t]*(?:[•*·][ \t]*)?"
BYLINE = re.compile(
    rf"{LEAD}(?:{BY}):?[ \t]+(?P<names>{NAME}(?:(?:,? and |, | & ){NAME}){{0,5}})"
    rf"(?:[,|–—-]? ?(?:(?:{HOUSE})\b.{{0,60}}|{POST}))?"
    r"(?: ?[,|–—-]? ?\d{1,2}[/.]\d{1,2}[/.]\d{2,4}.{0,20})?[ \t]*"
)
SAID = (
    "Published", "Updated", "Posted", "Last updated", "First published", "Modified",
    "Veröffentlicht", "Publié",
)  # fmt: skip
WEEKDAY = "(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?"
MONTH = r"(?:Jan|Feb|Mar|Apr|May|June?|July?|Aug|Sep|Oct|Nov|Dec)\w{0,6}\.?"
DAY = r"\d{1,2}(?:st|nd|rd|th)?"
DATE = rf"(?:{DAY}\.? {MONTH},? (?:\d{{4}})?|{MONTH} {DAY},?(?: \d{{4}})?|\d{{4}}-\d\d-\d\d)"
CLOCK = r"\d{1,2}[:.]\d\d(?:[:.]\d\d)?(?: ?[AaPp]\.?[Mm]\.?)?(?: ?[A-Z]{2,4})?"
STAMP = re.compile(
    rf"(?i:{LEAD}(?:(?:{'|'.join(SAID)})(?: on| at|:)?[ \t]+)?(?:{WEEKDAY},? )?{DATE}"
    rf"(?:[,|T –—-]{{0,4}}(?:at )?{CLOCK})?(?: ?\|? ?Updated.{{0,60}})?"
    r"(?: ?[•|·] ?\d{1,2} min(?:ute)?s? read)?[ \t]*)"
)
AGENCIES = "AP|Reuters|AFP|dpa|UPI|Xinhua|CNN|IANS|PTI|ANI|EFE|REUTERS|Associated Press"
DATELINE = re.compile(
    r"[ \t]*(?P<place>[A-ZÀ-Þ][A-ZÀ-Þ'’. -]{2,40}(?:, [A-Z][\w. ]{1,25})?)"
    rf"(?:,? (?:\w{{3,9}}\.? \d{{1,2}}))?(?P<agency>[ ,]{{1,3}}\((?:{AGENCIES})\))"
    r" ?[-–—]{1,3} ?(?=\S)"
)
READ_ON = (
    r"(?:Read|See|Find out|Learn) (?:more|also|next|the full (?:story|article|text))\b.{0,160}",
    "(?:READ|SEE|WATCH|LISTEN|MORE|RELATED|ALSO|DON'T MISS)(?: (?:MORE|ALSO|NEXT|ON|FROM))?:"
    ".{0,200}",
)
MORE = (
    "Lesen Sie (?:auch|mehr|hier|dazu)|Lies auch|Auch interessant|Mehr zum Thema|Zum Thema",
    "(?:[ÀA] )?[Ll]ire (?:aussi|également)|[ÀA] lire|Lisez aussi|Voir aussi|Sur le même sujet",
    "L(?:ea|ee|eer|éase) (?:también|más|además)|(?:También )?(?:[Tt]e|[Ll]e) puede interesar",
    "Noticias relacionadas|Artículos relacionados|M[áa]s información|Leggi anche|Leia também",
)
"""German, French, Spanish, Italian, Portuguese: `Read also`, bare or with a colon."""
SHARE = (
    "Related", "Watch", "Also read", "Read [Mm]ore", "Adverts?", "Subscribe", "Like this",
    r"Like Loading\.{0,3}", "Sharing is caring!",
    "More on this", "Most read", "Trending", "Advertisement",
    "ADVERTISEMENT", "Story continues below.{0,40}", "Continue reading.{0,80}",
    "Click here (?:to|for) .{0,120}", "Sign up (?:for|to) .{0,160}",
    "Subscribe (?:to|now|here) ?.{0,120}",
    r"Follow (?:us|me|@\w{1,20}|.{2,40} on (?:Twitter|Facebook|X|Instagram)).{0,160}",
    "Share (?:this|on) .{0,60}", "Share", "Get the latest .{0,160}",
    "Enter your e-?mail.{0,80}", r"Already a subscriber\?.{0,60}",
    "Support our journalism.{0,120}", r"[Cc]omments?(?: \(\d{1,5}\))?",
    "Print this (?:article|page)", "E-?mail this (?:article|story|page).{0,40}",
)  # fmt: skip
SIDE = re.compile(
    rf"[ \t]*(?:[>»›→▶•*-]{{1,2}}[ \t]*)?(?:{'|'.join(READ_ON)}"
    rf"|(?:{'|'.join(MORE)})(?: ?[:»>–—].{{0,200}})?|(?:{'|'.join(SHARE)})"
    r"(?: (?:stories|articles|links|topics|news|coverage))?:?)[ \t]*"
)
PICTURE = "Photo(?:graph)?|Image|Picture|Foto|Credit|Video|Illustration"
BANKS = "AP Photo|Getty Images|REUTERS|AFP|Shutterstock|EPA"
CREDIT = re.compile(
    rf"[ \t]*(?:\(?(?:{PICTURE})(?: (?:by|credit|courtesy(?: of)?))?[ :|/]{{1,3}}.{{2,120}}\)?"
    rf"|.{{5,200}}[(/][ \t]*(?:{BANKS})[ \t/,\w.'-]{{0,60}}\)?)[ \t]*"
)
DONE = "Additional reporting|Reporting|Editing|Writing|Compiled|Edited|Contributing"
WIRE = (
    "AP|AFP|dpa|DPA|Reuters|REUTERS|EFE|UPI|ANSA|APA|KNA|epd|SID|sid|ATS|Belga|Lusa|TASS|Xinhua"
    "|Europa Press|Associated Press|agences?|Agenturen|[Aa]gencias"
)
SIGNED = rf"(?:{WIRE})(?:(?: ?[/,;&+-] ?| und | et | y | and )(?:{WIRE}|[a-z]{{2,4}})){{0,4}}"
CLOSING = (
    rf"\(?{SIGNED}\)?\.?",
    rf"\(?(?:Mit|Unter Verwendung von) (?:\w{{2,20}} )?(?:Agenturm|M)aterial(?:ien)? "
    rf"(?:von |der |des )?\(?{SIGNED}\){{0,2}}\.?",
    rf"\(?(?:(?:L[ea]s? |L['’])?{CAPITALISED}(?: {CAPITALISED}){{0,3}} )?[Aa]vec (?:l['’])?"
    rf"{SIGNED}\)?\.?",
    rf"\(?Con (?:información|informaciones|datos|material) de (?:la agencia )?{SIGNED}\)?\.?",
    rf"\(?(?:Quelle|Source|Fuente|Fonte|Redacción)s? ?[:/] ?{SIGNED}\)?\.?",
    rf"\(?(?:{DONE}) (?:by|to this report)\b.{{2,300}}\)?",
    r"(?:Copyright|©|\(c\)) .{0,200}", r"All rights reserved\b.{0,120}",
    r"The Associated Press contributed to this report\.?",
    r"This (?:story|article) (?:was|has been) "
    r"(?:originally|first|updated|corrected|amended|published)\b.{0,240}",
    "This material may not be published, broadcast.{0,120}", "-30-", "###", "ENDS",
    r"(?:Contact|Reach) .{2,60} at \S{1,80}@\S{1,80}.{0,60}",
)  # fmt: skip
CLOSE = re.compile(rf"[ \t]*(?:{'|'.join(CLOSING)})[ \t]*")
HEAD_LINES = 12


class NewsConfig(Config):
    """What is set apart in a news story; source of the patterns: AP style book, own collection."""

    byline: bool = True
    """Bylines and dates among the first lines."""
    agency: bool = True
    """The agency in a dateline: `PARIS (AP) — ` becomes `PARIS — `."""
    links: bool = True
    """`Read more`, sign-up, share and related lines."""
    credits: bool = True
    """Credits of pictures, aside."""
    closing: bool = True
    """Editors, contacts and copyright at the end."""


class News:
    """Step `articles.news`: a story without what surrounds it."""

    def __init__(self, config: NewsConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Rule about one story."""
        facts: dict[str, object] = {}
        edits = tuple(self.edits(record.text, facts))
        if not edits:
            return PASS
        gone = sum(edit.end - edit.start for edit in edits if not edit.put)
        if gone >= len(record.text.strip()):
            return Ruling("news: no story", details=f"{len(edits)} lines around one")
        return Ruling(edits=edits, metadata=facts)

    def edits(self, text: str, facts: dict[str, object]) -> Iterator[Edit]:
        """Yield what is set apart, in order."""
        lines = [one.span() for one in LINE.finditer(text)]
        said = [number for number, (a, b) in enumerate(lines) if text[a:b].strip()]
        head = set(said[:HEAD_LINES])
        tail = set(said[-HEAD_LINES:])
        for number in said:
            start, end = lines[number]
            line = text[start:end].rstrip("\r\n")
            if len(line) > 400:
                found = DATELINE.match(line) if self.config.agency else None
            elif self.config.byline and number in head and (byline := BYLINE.fullmatch(line)):
                facts.setdefault("byline", byline["names"])
                yield Edit(start, end, "byline", aside="bylines")
                continue
            elif self.config.byline and number in head and STAMP.fullmatch(line):
                facts.setdefault("published", line.strip())
                yield Edit(start, end, "date line")
                continue
            elif self.config.links and SIDE.fullmatch(line):
                yield Edit(start, end, "link around the story")
                continue
            elif self.config.credits and CREDIT.fullmatch(line):
                yield Edit(start, end, "picture credit", aside="credits")
                continue
            elif self.config.closing and number in tail and CLOSE.fullmatch(line):
                yield Edit(start, end, "closing line")
                continue
            else:
                found = DATELINE.match(line) if self.config.agency else None
            if found:
                facts.setdefault("dateline", found["place"].strip(" ,"))
                yield Edit(start + found.start("agency"), start + found.end("agency"), "agency")
