"""Lines that are no text: what a site says around a page, by their own words.

Each rule has a name, which is the reason of its edit. Strong rules hold wherever the line stands;
weak ones (`Home`, `Next`, `Search`) may be a heading or a key's name, so they want company: another
such line beside them, or a place among the page's first or last lines. Only short lines are looked
at, so a sentence about cookies stays. Remains of markup and scripts go only from pages that are not
about them. All patterns are anchored and without nested repetition: linear in the line.
"""

import re
from typing import NamedTuple

from groundup.core import Config

from ..record import PASS, Edit, Record, Ruling

SITE = "(?:web ?site|site|page|app|seite|website|sitio|sito|blog|store)"
STRONG = {
    "advertisement": r"advertisements?|ads?|advert|ads? by .{1,40}|sponsored(?: content| posts?| links?| by .{1,40})?"
    r"|promoted(?: content| by .{1,40})?|paid (?:content|post)|(?:story|article|content) continues (?:below|after).{0,40}"
    r"|continue reading below|scroll to continue.{0,40}|ad ?choices|report (?:this )?ad|why this ad\??|remove ads|skip ad"
    r"|anzeigen?|werbung|publicité|publicidad|pubblicità|publicidade|reklama|реклама|広告|광고",
    "cookie notice": r".{0,60}\b(?:we|our|this " + SITE + r"|the " + SITE + r"|wir|diese " + SITE + r"|nous|ce site|este sitio|questo sito|este site)\b"
    r".{0,60}\b(?:use|uses|using|verwende[nt]|nutz(?:en|t)|utilis(?:ons|e)|utiliza(?:mos)?|usa(?:mos)?|utilizz(?:iamo|a)|usiamo)\b.{0,40}\bcookies?\b.{0,300}"
    r"|by (?:continuing|using|browsing|clicking|closing).{0,120}\bcookies?\b.{0,200}"
    r"|(?:accept|allow|reject|decline|refuse|manage|customi[sz]e|only) ?(?:all|optional|necessary|essential|my)? ?(?:cookies?|choices|preferences|consent)"
    r"|(?:accept|reject|allow|decline) all|cookie (?:settings|preferences|policy|notice|consent|banner)|got it!?|i (?:agree|accept)"
    r"|(?:privacy|cookie) (?:policy|notice|settings)(?:[ |·•,&/-]+(?:terms.{0,20}|cookie.{0,20}|privacy.{0,20}))*"
    r"|alle (?:akzeptieren|ablehnen|cookies akzeptieren)|tout (?:accepter|refuser)|aceptar (?:todo|todas|cookies)|accetta (?:tutt[io]|cookie)|nur notwendige",
    "share": r"(?:share|tweet|pin|like|follow|email|print|save|whatsapp|facebook|twitter|linkedin|reddit|pinterest|telegram|instagram|youtube|x)"
    r"(?:(?: this| us| on| via| to| with|[ ,|·/]| and)+(?:article|page|post|story|facebook|twitter|x|linkedin|reddit|pinterest|whatsapp|email|telegram|instagram|youtube|tumblr|print|link|friends?|pocket|tweet|share|pin))+:?"
    r"|share (?:this|it)(?: .{0,20})?:?|follow (?:us|me)(?: on .{1,30})?:?|copy link|[\d.,]+[km]? (?:likes?|shares?|views?|retweets?|followers|reactions?|votes?|reads?|upvotes?|claps?)(?:[ ,|·]+[\d.,]+[km]? [a-z]{3,12}){0,4}"
    r"|teilen(?: auf .{1,20})?|partager(?: sur .{1,20})?|compartir(?: en .{1,20})?|condividi(?: su .{1,20})?",
    "comments": r"(?:no|\d{1,6}|leave a|add a|post a|write a|view|show|hide|load|join the)[ ]?(?:all |more |your )?(?:\d{1,6} )?(?:comments?|reply|replies|responses?|discussion|conversation)(?: yet| below| \(\d{1,6}\))?[.!]?"
    r"|(?:log|sign) in to (?:comment|reply|post|vote).{0,30}|you must be logged in.{0,60}|be the first to (?:comment|reply|like).{0,20}|comments (?:are )?(?:closed|off|disabled).{0,20}|reply report|upvote downvote",
    "sign in": r"(?:already (?:have an account|a (?:member|subscriber))\??|don.t have an account\??|not a member\??|new here\??) ?(?:sign|log|register|join|create|subscribe).{0,30}"
    r"|(?:sign|log) ?(?:in|on|up|out)(?: or (?:sign|log|register|create|join).{0,20}| now| here| / .{1,20}| with (?:google|facebook|apple|twitter|github|email).{0,10}| for free| to (?:continue|your account|get started).{0,20})"
    r"|(?:create|register) (?:an |your |a free )?account.{0,20}|forgot (?:your )?password\??|remember me|my account|anmelden / .{1,20}|connexion / .{1,20}",
    "newsletter": r"(?:subscribe|sign up|join)(?: (?:now|today|here|free|to|for|our|the|us|a|daily|weekly|free|email|mailing))*(?: (?:newsletters?|updates|mailing list|list|alerts|channel|emails?))[.!]?(?: .{0,80})?"
    r"|subscribe (?:now|today|via rss|to (?:rss|our feed))|(?:enter )?your email(?: address)?(?: .{0,20})?|get (?:the )?(?:latest|daily|weekly|best) .{1,60} (?:in|to) your inbox.{0,20}|no spam.{0,40}unsubscribe.{0,30}",
    "read more": r"(?:read|see|show|view|load|learn|find out) (?:more|all|full (?:article|story)|less)(?: (?:posts|articles|stories|about .{1,40}|results|»))?[ .…»›→>]*"
    r"|continue reading[ .…»›→>]*(?:.{0,80}→)?|(?:related|recommended|popular|trending|latest|recent|top|more)(?: (?:from|in|on) .{1,30}| (?:articles?|posts?|stories|news|reading|topics|content|videos?|products?))+:?"
    r"|you (?:may|might) (?:also )?(?:like|be interested in|enjoy).{0,20}|(?:customers|people|readers) (?:who|also) .{1,40}(?:bought|viewed|read|liked|like)|mehr (?:lesen|erfahren)|weiterlesen|lire la suite|en savoir plus|leer más|leggi (?:tutto|di più|anche)|\d{1,3}[ -]min(?:ute)?s? read",
    "skip link": r"(?:skip|jump)(?: directly| straight)? (?:to|over)(?: the| main| page)* (?:content|navigation|nav|menu|search|main|footer|sidebar|header|results|page|links?)(?: links?)?"
    r"|skip navigation(?: links?)?|back to (?:the )?top|(?:return|go) to (?:the )?top|top of (?:the )?page|to top|nach oben|zum (?:inhalt|seitenanfang).{0,20}|haut de (?:la )?page|aller au contenu.{0,20}|volver arriba|ir al contenido.{0,20}|torna su|vai al contenuto.{0,20}",
    "edit link": r"\[?(?:edit|edit source|view source|show source|view page source|page source)\]?|edit (?:this|on) (?:page|article|section|github|gitlab|wiki).{0,30}|(?:improve|suggest (?:an )?edits? (?:to|for)?|report (?:a |an )?(?:bug|issue|problem)(?: (?:with|on|or|in))?)(?: this)?(?: (?:page|article|doc(?:ument)?s?|on github|suggest an enhancement))?"
    r"|found a (?:bug|typo|mistake)\??.{0,30}|permalink|copy item path|link to (?:this|the) .{1,20}|expand description|was this (?:page |article )?helpful\??.{0,20}|(?:yes|no)[ |/]+(?:yes|no)|thanks? for your feedback.{0,20}|printer[- ]friendly(?: version| page)?|print this (?:page|article)|download (?:as )?pdf|switch (?:theme|language)|toggle (?:navigation|menu|sidebar|search|theme|dark mode)",
    "JavaScript notice": r".{0,80}\b(?:enable|activate|turn on|requires?|needs?|without|aktivieren|activer|activar|habilit\w{1,6}|abilit\w{1,6})\b.{0,30}\bjavascript\b.{0,160}|.{0,60}\bjavascript\b.{0,30}\b(?:is|must be|seems to be|est|ist)? ?(?:currently )?(?:disabled|required|turned off|not (?:enabled|supported|available)|switched off|deaktiviert|désactivé)\b.{0,120}"
    r"|(?:your )?browser (?:does not|doesn.t|is not|is out).{0,100}",
    "generator": r"(?:proudly )?(?:powered|generated|built|created|made|designed|hosted|maintained)(?: with)? (?:by|using|with) (?:wordpress|sphinx|doxygen|drupal|joomla|jekyll|hugo|docusaurus|mkdocs|gi-docgen|exdoc|gitbook|ghost|blogger|squarespace|wix|shopify|docbook|texinfo|texi2html|javadoc|read the docs).{0,80}"
    r"|(?:powered|website design(?:ed)?|web ?design|theme|site|design) by .{1,40}|this (?:document|page|file|manual) was (?:last )?(?:generated|updated|modified|built) (?:on|by|at|using) .{1,100}|(?:page )?last (?:updated|modified|changed|edited|revised|build)(?: on| at| by)?:? .{3,60}",
    "breadcrumb": r"(?:you are here:?\s*)?(?:home|start|startseite|accueil|inicio|main|index|top)\s*[>»›/→|:]\s*[^>»›/→|]{1,60}(?:\s*[>»›/→|]\s*[^>»›/→|]{1,60}){0,8}|you are here:?.{0,120}|[^»›]{1,50}(?:[»›][^»›]{1,50}){2,8}[»›]?",
    "pager": r"(?:[«‹<←]+ ?)?(?:prev(?:ious)?|next|older|newer|first|last|zurück|weiter|précédent|suivant|anterior|siguiente|precedente|successivo)(?: (?:page|post|posts|article|entry|entries|chapter|section|topic|story|up))?(?: ?[»›>→]+)?(?:[ |·/,-]+(?:prev(?:ious)?|next|up|home|top|contents|index|older|newer|last)(?: (?:page|post|posts|article|entries|chapter))?(?: ?[»›>→]+)?){1,6}"
    r"|[«‹←] ?.{1,60}|.{1,60} ?[»›→]|page \d{1,5} (?:of|/) \d{1,5}.{0,30}|(?:\d{1,4}[ |·]+){3,20}(?:\d{1,4}|…|\.\.\.|next|last)(?: .{0,10})?|seite \d{1,5} von \d{1,5}|page \d{1,5} sur \d{1,5}",
}  # fmt: skip
"""Rules that hold wherever the line stands: name and pattern of the whole line, in lower case."""
WEAK = {
    "menu": r"(?:home|about(?: us)?|contacts?(?: us)?|products?|services?|blog|news|faqs?|help|sitemap|site map|search|menu|main menu|navigation|index|modules?|contents?|overview|support|downloads?|documentation|docs|api|community|careers|jobs|press|shop|store|cart|basket|categories|archives?|tags?|links|login|log ?in|log ?out|sign ?in|sign ?up|register|subscribe|donate|forum|wiki|gallery|events?|team|partners|pricing|features|settings|language|english|deutsch|français|español|theme|auto|light|dark|quick search|this page|go|close|open|tree|deprecated|package|class|use|home page|legal|imprint|impressum|datenschutz|agb|kontakt|über uns|mentions légales|credits|up|top|toggle|expand|collapse|rss|feed|follow|share|print|email|more)"
    r"(?:[ |·•/,>»-]+(?:home|about(?: us)?|contacts?(?: us)?|products?|services?|blog|news|faqs?|help|sitemap|search|index|modules?|contents?|table of contents|support|downloads?|documentation|docs|community|careers|press|shop|cart|login|register|privacy(?: policy)?|terms(?: of (?:use|service))?|legal|cookies?|archives?|links|forum|up|next|previous|top)){0,15}[ |·•»>-]*",
    "pager": r"[«‹<←↑ ]*(?:prev(?:ious)?|next|up|back|newer|older|previous topic|next topic|zurück|weiter)[»›>→| ]*",
    "copyright": r"(?:copyright|©|\(c\)|&copy;).{0,200}|.{0,120}\ball rights reserved\b.{0,80}|(?:terms|conditions) (?:of (?:use|service|sale)|and conditions|& conditions)(?:[ |·•,&/-]+.{0,40})?|legal (?:notice|information)|.{0,100}\bregistered trademarks?\b.{0,100}",
    "sign in": r"(?:sign|log) ?(?:in|up|out|on)|register|anmelden|registrieren|connexion|s.inscrire|iniciar sesión|registrarse|accedi|registrati",
    "share": r"(?:facebook|twitter|linkedin|reddit|pinterest|whatsapp|telegram|instagram|youtube|tiktok|mastodon|e-?mail|print|tweet|share|like|pin it|save|rss|copy)",
    "sign": r"[|·•<>»«›‹/\\*=_#~^ -]{1,40}",
}  # fmt: skip
"""Rules that want company."""
REMAINS = {
    "CSS": r"[.#@]?[\w.#:,>*\[\]=\"' -]{0,120}\{[^{}]{0,400}\}?|\}|/\*.{0,200}\*/|@(?:media|import|font-face|charset)\b.{0,200}",
    "JavaScript": r"(?:window|document|googletag|datalayer|__next|_gaq|ga|gtag|fbq|jquery|\$)[.(\[=].{0,2000}|\(?function ?\(.{0,2000}|\}\)?\(?.{0,40}\);?|(?:var|let|const) [\w$]{1,40} ?=.{0,2000}|(?:if|try) ?[({].{0,400}|//<!\[cdata\[|//\]\]>",
    "tag": r"</?[a-z][a-z0-9]{0,10}(?: [^<>]{0,300})?/?>|<!--.{0,300}?(?:-->)?|-->|<!doctype .{0,100}",
}  # fmt: skip
"""Remains of markup: cut where a page has few of them among its lines."""
INLINE = re.compile(
    r"\[(?:edit|edit source|citation needed|bearbeiten|modifier|editar|modifica)\]|[ \t]*[¶§](?=\s*(?:\n|\Z))|&nbsp;?",
    re.IGNORECASE,
)
INLINE_REASONS = {"[": "edit marker", "&": "entity"}
ENDS = 3
"""Lines at either end of a page among which a weak rule holds alone."""


def compiled(rules: dict[str, str]) -> re.Pattern[str]:
    """One pattern with a group for each rule."""
    return re.compile("|".join(f"(?P<r{n}>{rule})" for n, rule in enumerate(rules.values())))


STRONG_PATTERN, WEAK_PATTERN, REMAINS_PATTERN = map(compiled, (STRONG, WEAK, REMAINS))
CODE = re.compile(r"[{};<>]|[=(]['\"$]|\w\(\)")


class LinesConfig(Config):
    """How short a line must be, and which rules are off."""

    longest_line: int = 400
    """Characters; longer lines are text. Source: the longest notice among the marked pages is 251."""
    most_remains: float = 0.1
    """Share of lines with signs of code from which a page is about code. Source: own judgement."""
    most_cut: float = 0.5
    """Share of a page's characters above which weak rules are not believed. Source: own judgement."""
    off: tuple[str, ...] = ()
    """Names of rules that are not wanted, such as `breadcrumb`."""


class Found(NamedTuple):
    """A line that a rule names."""

    number: int
    start: int
    end: int
    reason: str
    is_weak: bool


class Lines:
    """web.lines: cuts lines that are no text, each with its rule's name."""

    def __init__(self, config: LinesConfig) -> None:
        self.config = config
        self.off = frozenset(config.off)

    def __call__(self, record: Record) -> Ruling:
        """Rule: an edit a line."""
        text = record.text
        lines = spans(text)
        found = self.find(text, lines)
        sure = [one for one in found if not one.is_weak]
        near = {one.number + step for one in found for step in (-1, 1)}
        weak = [
            one
            for one in found
            if one.is_weak
            and (one.number in near or one.number < ENDS or one.number >= len(lines) - ENDS)
        ]
        if sum(one.end - one.start for one in weak) > self.config.most_cut * len(text):
            weak = []
        chosen = sorted(sure + weak)
        edits = [Edit(one.start, min(one.end + 1, len(text)), one.reason) for one in chosen]
        return (
            Ruling(edits=tuple(with_inline(text, edits, self.off)))
            if edits or INLINE.search(text)
            else PASS
        )

    def find(self, text: str, lines: list[tuple[int, int]]) -> list[Found]:
        """Lines that a rule names."""
        found: list[Found] = []
        remains: list[Found] = []
        code = 0
        for number, (start, end) in enumerate(lines):
            line = text[start:end].strip()
            if len(line) > self.config.longest_line:
                if len(line) < 3000 and "{" in line:
                    code += 1
                continue
            code += bool(CODE.search(line))
            reason, is_weak = rule_of(line.lower())
            if reason and reason not in self.off:
                found.append(Found(number, start, end, reason, is_weak))
            elif not reason and (match := REMAINS_PATTERN.fullmatch(line.lower())):
                kind = f"{list(REMAINS)[match.lastindex - 1]} remains"
                if kind not in self.off:
                    remains.append(Found(number, start, end, kind, False))
        if code <= max(2, self.config.most_remains * len(lines)):
            found += remains
        return sorted(found)


def rule_of(line: str) -> tuple[str, bool]:
    """Name of the rule for a line in lower case, and whether it is weak; empty if there is none.

    >>> rule_of("skip to main content"), rule_of("next"), rule_of("the next day it rained")
    (('skip link', False), ('pager', True), ('', False))
    """
    match = STRONG_PATTERN.fullmatch(line)
    if match:
        return list(STRONG)[match.lastindex - 1], False
    match = WEAK_PATTERN.fullmatch(line)
    return (list(WEAK)[match.lastindex - 1], True) if match else ("", False)


def spans(text: str) -> list[tuple[int, int]]:
    """Places of the lines that are not empty."""
    places, at = [], 0
    for line in text.split("\n"):
        if line.strip():
            places.append((at, at + len(line)))
        at += len(line) + 1
    return places


def with_inline(text: str, edits: list[Edit], off: frozenset[str]) -> list[Edit]:
    """The edits with those inside lines that stay: edit marks, links to headings, entities."""
    merged, at = [], 0
    for mark in INLINE.finditer(text):
        while at < len(edits) and edits[at].end <= mark.start():
            merged.append(edits[at])
            at += 1
        reason = INLINE_REASONS.get(mark[0].strip()[:1], "heading link")
        if reason in off or (at < len(edits) and edits[at].start < mark.end()):
            continue
        merged.append(Edit(*mark.span(), reason, put=" " if reason == "entity" else ""))
    return merged + edits[at:]
