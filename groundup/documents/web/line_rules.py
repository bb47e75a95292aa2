"""The words of lines that are no text: patterns of whole lines in lower case, by rule.

English with the commonest lines of German, French, Spanish and Italian sites. Each pattern is
anchored at both ends by `fullmatch`, gaps are bounded, and no repetition nests in another without
a sign between: linear in the line, which is short. See lines.py for where a rule holds.
"""

STRONG = {
    "advertisement": (
        r"advertisements?|ads?|advert|ads? by .{1,40}|sponsored(?: content| posts?| links?"
        r"| by .{1,40})?|promoted(?: content| by .{1,40})?|paid (?:content|post)|(?:story"
        r"|article|content) continues (?:below|after).{0,40}|continue reading below"
        r"|scroll to continue.{0,40}|ad ?choices|report (?:this )?ad|why this ad\??|remove ads"
        r"|skip ad|anzeigen?|werbung|publicité|publicidad|pubblicità|publicidade|reklama"
        r"|реклама|広告|광고"
    ),
    "cookie notice": (
        r".{0,60}\b(?:we|our|this (?:web ?site|site|page|app|seite|website|sitio|sito|blog"
        r"|store)|the (?:web ?site|site|page|app|seite|website|sitio|sito|blog|store)|wir"
        r"|diese (?:web ?site|site|page|app|seite|website|sitio|sito|blog|store)|nous|ce site"
        r"|este sitio|questo sito|este site)\b.{0,60}\b(?:use|uses|using|verwende[nt]|nutz(?:en"
        r"|t)|utilis(?:ons|e)|utiliza(?:mos)?|usa(?:mos)?|utilizz(?:iamo|a)"
        r"|usiamo)\b.{0,40}\bcookies?\b.{0,300}|by (?:continuing|using|browsing|clicking"
        r"|closing).{0,120}\bcookies?\b.{0,200}"
        r"|we and our .{0,30}\bpartners\b.{0,300}|(?:we value )?your privacy.{0,250}\b(?:accept"
        r"|preferences|choices|consent)\b.{0,60}|(?:accept|allow|reject|decline|refuse|manage"
        r"|customi[sz]e|only) ?(?:all|optional|necessary|essential|my)? ?(?:cookies?|choices"
        r"|preferences|consent)|(?:accept|reject|allow|decline) all|cookie (?:settings"
        r"|preferences|policy|notice|consent|banner)|got it!?|i (?:agree|accept)|(?:privacy"
        r"|cookie) (?:policy|notice|settings)(?:[ |·•,&/-]+(?:terms.{0,20}|cookie.{0,20}"
        r"|privacy.{0,20}))*|alle (?:akzeptieren|ablehnen|cookies akzeptieren)|tout (?:accepter"
        r"|refuser)|aceptar (?:todo|todas|cookies)|accetta (?:tutt[io]|cookie)|nur notwendige"
    ),
    "share": (
        r"(?:share|tweet|pin|like|follow|email|print|save|whatsapp|facebook|twitter|linkedin"
        r"|reddit|pinterest|telegram|instagram|youtube|x)(?:(?: this| us| on| via| to| with|[ ,"
        r"|·/]| and)+(?:article|page|post|story|facebook|twitter|x|linkedin|reddit|pinterest"
        r"|whatsapp|email|telegram|instagram|youtube|tumblr|print|link|friends?|pocket|tweet"
        r"|share|pin))+:?|share (?:this|it)(?: .{0,20})?:?|follow (?:us|me)(?: on .{1,30})?:?"
        r"|copy link|[\d.,]+[km]? (?:likes?|shares?|views?|retweets?|followers|reactions?"
        r"|votes?|reads?|upvotes?|claps?)(?:[ ,|·]+[\d.,]+[km]? [a-z]{3,12}){0,4}"
        r"|teilen(?: auf .{1,20})?|partager(?: sur .{1,20})?|compartir(?: en .{1,20})?"
        r"|condividi(?: su .{1,20})?"
    ),
    "comments": (
        r"(?:comments?|replies|responses|discussion) ?\(\d{1,6}\)"
        r"|(?:no|\d{1,6}|leave a|add a|post a|write a|view|show|hide|load|join the)[ ]?(?:all "
        r"|more |your )?(?:\d{1,6} )?(?:comments?|reply|replies|responses?|discussion"
        r"|conversation)(?: yet| below| \(\d{1,6}\))?[.!]?|(?:log|sign) in to (?:comment|reply"
        r"|post|vote).{0,30}|you must be logged in.{0,60}|be the first to (?:comment|reply"
        r"|like).{0,20}|comments (?:are )?(?:closed|off|disabled).{0,20}|reply report"
        r"|upvote downvote"
    ),
    "sign in": (
        r"(?:already (?:have an account|a (?:member|subscriber))\??|don.t have an account\??"
        r"|not a member\??|new here\??) ?(?:sign|log|register|join|create|subscribe).{0,30}"
        r"|(?:sign|log) ?(?:in|on|up|out)(?: or (?:sign|log|register|create|join).{0,20}| now"
        r"| here| / .{1,20}| with (?:google|facebook|apple|twitter|github|email).{0,10}"
        r"| for free| to (?:continue|your account|get started).{0,20})|(?:create"
        r"|register) (?:an |your |a free )?account.{0,20}|forgot (?:your )?password\??"
        r"|remember me|my account|anmelden / .{1,20}|connexion / .{1,20}"
        r"|.{0,80}\b(?:subscribe|register|sign (?:in|up)|log in|account)\b.{0,30}\bto (?:keep"
        r"|continue|finish) reading\b.{0,40}"
    ),
    "newsletter": (
        r"(?:subscribe|sign up|join)(?: (?:now|today|here|free|to|for|our|the|us|a|daily|weekly"
        r"|free|email|mailing))*(?: (?:newsletters?|updates|mailing list|list|alerts|channel"
        r"|emails?))[.!]?(?: .{0,80})?|subscribe (?:now|today|via rss|to (?:rss|our feed))"
        r"|(?:enter )?your email(?: address)?(?: .{0,20})?|get (?:the )?(?:latest|daily|weekly"
        r"|best) .{1,60} (?:in|to) your inbox.{0,20}|no spam.{0,40}unsubscribe.{0,30}"
    ),
    "read more": (
        r"(?:read|see|show|view|load|learn|find out) (?:more|all|full (?:article|story)"
        r"|less)(?: (?:posts|articles|stories|about .{1,40}|results|»))?[ .…»›→>]*"
        r"|most (?:read|popular|viewed|shared|commented|recent)(?: (?:articles?|posts?|stories))?:?"
        r"|continue reading[ .…»›→>]*(?:.{0,80}→)?|(?:related|recommended|popular|trending"
        r"|latest|recent|top|more)(?: (?:from|in|on) .{1,30}| (?:articles?|posts?|stories|news"
        r"|reading|topics|content|videos?|products?))+:?|you (?:may|might) (?:also )?(?:like"
        r"|be interested in|enjoy).{0,20}|(?:customers|people|readers) (?:who"
        r"|also) .{1,40}(?:bought|viewed|read|liked|like)|mehr (?:lesen|erfahren)|weiterlesen"
        r"|lire la suite|en savoir plus|leer más|leggi (?:tutto|di più|anche)"
        r"|\d{1,3}[ -]min(?:ute)?s? read"
    ),
    "skip link": (
        r"(?:skip|jump)(?: directly| straight)? (?:to|over)(?: the| main| page)* (?:content"
        r"|navigation|nav|menu|search|main|footer|sidebar|header|results|page"
        r"|links?)(?: links?)?|skip navigation(?: links?)?|back to (?:the )?top|(?:return"
        r"|go) to (?:the )?top|top of (?:the )?page|to top|nach oben|zum (?:inhalt"
        r"|seitenanfang).{0,20}|haut de (?:la )?page|aller au contenu.{0,20}|volver arriba"
        r"|ir al contenido.{0,20}|torna su|vai al contenuto.{0,20}"
    ),
    "edit link": (
        r"\[?(?:edit|edit source|view source|show source|view page source|page source)\]?"
        r"|edit (?:this|on) (?:page|article|section|github|gitlab|wiki).{0,30}|(?:improve"
        r"|suggest (?:an )?edits? (?:to|for)?|report (?:a |an )?(?:bug|issue"
        r"|problem)(?: (?:with|on|or|in))?)(?: this)?(?: (?:page|article|doc(?:ument)?s?"
        r"|on github|suggest an enhancement))?|found a (?:bug|typo|mistake)\??.{0,30}|permalink"
        r"|copy item path|link to (?:this|the) .{1,20}|expand description|was this (?:page "
        r"|article )?helpful\??.{0,20}|(?:yes|no)[ |/]+(?:yes|no)"
        r"|thanks? for your feedback.{0,20}|printer[- ]friendly(?: version| page)?"
        r"|print this (?:page|article)|download (?:as )?pdf|switch (?:theme|language)"
        r"|toggle (?:navigation|menu|sidebar|search|theme|dark mode)"
    ),
    "JavaScript notice": (
        r".{0,80}\b(?:enable|activate|turn on|requires?|needs?|without|aktivieren|activer"
        r"|activar|habilit\w{1,6}|abilit\w{1,6})\b.{0,30}\bjavascript\b.{0,160}"
        r"|.{0,60}\bjavascript\b.{0,30}\b(?:is|must be|seems to be|est"
        r"|ist)? ?(?:currently )?(?:disabled|required|turned off|not (?:enabled|supported"
        r"|available)|switched off|deaktiviert|désactivé)\b.{0,120}"
        r"|(?:your )?browser (?:does not|doesn.t|is not|is out).{0,100}"
    ),
    "generator": (
        r"(?:proudly )?(?:powered|generated|built|created|made|designed|hosted"
        r"|maintained)(?: with)? (?:by|using|with) (?:wordpress|sphinx|doxygen|drupal|joomla"
        r"|jekyll|hugo|docusaurus|mkdocs|gi-docgen|exdoc|gitbook|ghost|blogger|squarespace|wix"
        r"|shopify|docbook|texinfo|texi2html|javadoc|read the docs).{0,80}|(?:powered"
        r"|website design(?:ed)?|web ?design|theme|site|design) by .{1,40}|this (?:document"
        r"|page|file|manual) was (?:last )?(?:generated|updated|modified|built) (?:on|by|at"
        r"|using) .{1,100}|(?:page )?last (?:updated|modified|changed|edited|revised"
        r"|build)(?: on| at| by)?:? .{3,60}"
    ),
    "breadcrumb": (
        r"(?:you are here:?\s*)?(?:home|start|startseite|accueil|inicio)\s*(?:[>»›→]|(?<=\s)/\s)"
        r"\s*[^>»›/→|]{1,60}(?:\s*[>»›/→|]\s*[^>»›/→|]{1,60}){0,8}"
        r"|(?:home|start|startseite|accueil|inicio|main|index|top)\s*[>»›/→|:]\s*[^>»›/→|]{1,60}"
        r"(?:\s*[>»›/→|]\s*[^>»›/→|]{1,60}){1,8}"
        r"|you are here:?.{0,120}|[^»›]{1,50}(?:[»›][^»›]{1,50}){2,8}[»›]?"
    ),
    "pager": (
        r"(?:[«‹<←]+ ?)?(?:prev(?:ious)?|next|older|newer|first|last|zurück|weiter|précédent"
        r"|suivant|anterior|siguiente|precedente|successivo)(?: (?:page|post|posts|article"
        r"|entry|entries|chapter|section|topic|story|up))?(?: ?[»›>→]+)?(?:[ "
        r"|·/,-]+(?:prev(?:ious)?|next|up|home|top|contents|index|older|newer|last)(?: (?:page"
        r"|post|posts|article|entries|chapter))?(?: ?[»›>→]+)?){1,6}|[«‹←] ?.{1,60}"
        r"|.{1,60} ?[»›→]|page \d{1,5} (?:of|/) \d{1,5}.{0,30}|(?:\d{1,4}[ "
        r"|·]+){3,20}(?:\d{1,4}|…|\.\.\.|next|last)(?: .{0,10})?|seite \d{1,5} von \d{1,5}"
        r"|page \d{1,5} sur \d{1,5}"
    ),
}
"""Rules that hold wherever the line stands."""

WEAK = {
    "menu": (
        r"(?:home|about(?: us)?|contacts?(?: us)?|products?|services?|blog|news|faqs?|help"
        r"|sitemap|site map|search|menu|main menu|navigation|index|modules?|contents?|overview"
        r"|support|downloads?|documentation|docs|api|community|careers|jobs|press|shop|store"
        r"|cart|basket|categories|archives?|tags?|links|login|log ?in|log ?out|sign ?in"
        r"|sign ?up|register|subscribe|donate|forum|wiki|gallery|events?|team|partners|pricing"
        r"|features|settings|language|english|deutsch|français|español|theme|auto|light|dark"
        r"|quick search|this page|go|close|open|tree|deprecated|package|class|use|home page"
        r"|legal|imprint|impressum|datenschutz|agb|kontakt|über uns|mentions légales|credits|up"
        r"|top|toggle|expand|collapse|rss|feed|follow|share|print|email|more)(?:[ "
        r"|·•/,>»-]+(?:home|about(?: us)?|contacts?(?: us)?|products?|services?|blog|news|faqs?"
        r"|help|sitemap|search|index|modules?|contents?|table of contents|support|downloads?"
        r"|documentation|docs|community|careers|press|shop|cart|login|register"
        r"|privacy(?: policy)?|terms(?: of (?:use|service))?|legal|cookies?|archives?|links"
        r"|forum|up|next|previous|top)){0,15}[ |·•»>-]*"
    ),
    "pager": (
        r"[«‹<←↑ ]*(?:prev(?:ious)?|next|up|back|newer|older|previous topic|next topic|zurück"
        r"|weiter)[»›>→| ]*"
    ),
    "breadcrumb": r"[\w&' -]{1,30} › [\w&' -]{1,30}",
    "copyright": (
        r"(?:copyright|©|\(c\)|&copy;).{0,200}|.{0,120}\ball rights reserved\b.{0,80}|(?:terms"
        r"|conditions) (?:of (?:use|service|sale)|and conditions|& conditions)(?:[ "
        r"|·•,&/-]+.{0,40})?|legal (?:notice|information)"
        r"|.{0,100}\bregistered trademarks?\b.{0,100}"
    ),
    "sign in": (
        r"(?:sign|log) ?(?:in|up|out|on)|register|anmelden|registrieren|connexion|s.inscrire"
        r"|iniciar sesión|registrarse|accedi|registrati"
    ),
    "share": (
        r"(?:facebook|twitter|linkedin|reddit|pinterest|whatsapp|telegram|instagram|youtube"
        r"|tiktok|mastodon|e-?mail|print|tweet|share|like|pin it|save|rss|copy)"
    ),
    "sign": (r"[|·•<>»«›‹/\\*=_#~^ -]{1,40}"),
}
"""Rules that want company."""

REMAINS = {
    "CSS": (
        r"""[.#@]?[\w.#:,>*\[\]=\"' -]{0,120}\{[^{}]{0,400}\}?|\}|/\*.{0,200}\*/|@(?:media|import"""
        r"|font-face|charset)\b.{0,200}"
    ),
    "JavaScript": (
        r"(?:window|document|googletag|datalayer|__next|_gaq|ga|gtag|fbq|jquery"
        r"|\$)[.(\[=].{0,2000}|\(?function ?\(.{0,2000}|\}\)?\(?.{0,40}\);?|(?:var|let"
        r"|const) [\w$]{1,40} ?=.{0,2000}|(?:if|try) ?[({].{0,400}|//<!\[cdata\[|//\]\]>"
    ),
    "tag": (
        r"</?[a-z][a-z0-9]{0,10}(?: [^<>]{0,300})?/?>|<!--.{0,300}?(?:-->)?|-->"
        r"|<!doctype .{0,100}"
    ),
}
"""Remains of markup and scripts: cut where a page has few of them."""
