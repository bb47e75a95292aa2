"""The words of lines that are no text: patterns of whole lines in lower case, by rule.

English with the commonest lines of German, French, Spanish and Italian sites, and the cookie
notices of a dozen languages. Each pattern is anchored at both ends by `fullmatch`, gaps are
bounded, and no repetition nests in another without a sign between: linear in the line, which is
short. A sentence may hold any of the words, so a strong rule wants two signs of a notice. See
lines.py for where a rule holds.
"""

SITE = (
    r"(?:web ?site|site|page|app|application|blog|store|shop|forum|portal|service|feature|content"
    r"|video|player|form)s?"
)
TEMPLATE = (
    r"(?:wordpress|sphinx|doxygen|drupal|joomla|jekyll|hugo|docusaurus|mkdocs|gi-docgen|exdoc"
    r"|gitbook|ghost|blogger|squarespace|wix|shopify|docbook|texinfo|texi2html|javadoc"
    r"|read the docs|phpbb|vbulletin|mediawiki|discourse)\b"
)
CONSENT = (
    r"(?=.*(?:\b(?:accept|consent|agree|privacy|policy|preferences|settings|experience|analytics"
    r"|analy[sz]e|personali[sz]e|traffic|advert|ads\b|third[- ]part|partners|necessary|essential"
    r"|learn more|more info|find out more|ok\b|opt[- ]out|our (?:site|website|services?))"
    r"|\b(?:on|of) (?:this|our|the|its) (?:web ?site|site|page|app|blog|store)))"
)
"""The second sign of a notice of cookies."""

STRONG = {
    "advertisement": (
        r"advertisements?|ads by .{1,40}|sponsored(?: content| posts?| links?)"
        r"|promoted content|paid (?:content|post)|(?:story"
        r"|article|content) continues (?:below|after).{0,40}|continue reading below"
        r"|scroll to continue.{0,40}|ad ?choices|report (?:this )?ad|why this ad\??|remove ads"
        r"|skip ad|publicité|publicidad|pubblicità|publicidade|广告|広告|광고"
    ),
    "cookie notice": (
        CONSENT + r"(?:.{0,60}\b(?:we|our|this " + SITE + r"|the (?:web ?site|site|app|blog"
        r"|store))\b.{0,60}\b(?:use|uses|using)\b.{0,40}\bcookies?\b.{0,300})"
        r"|(?:we|this (?:web ?site|site|page|app|blog|store)|our (?:web ?site|site)) uses?"
        r" cookies\.?"
        r"|by (?:continuing|using|browsing|clicking|closing)(?=.*\b(?:accept|agree|consent))"
        r".{0,120}"
        r"\bcookies?\b.{0,200}"
        r"|(?:.{0,60}\b)?(?:diese (?:web ?site|seite)|wir|nous|ce site(?: web)?|questo sito"
        r"(?: web)?|este (?:sitio|site)(?: web)?|esta (?:web|página)|deze (?:web ?site|site)|wij|we"
        r"|den här (?:webbplatsen|sidan|sajten)|denne (?:hjemmeside|siden|nettsiden|side)|vi"
        r"|(?:ta|nasza) strona|ten serwis|strona|serwis|(?:этот |наш |данный )?сайт|мы|tento web)\b"
        r".{0,60}\b(?:verwende[nt]|nutz(?:en|t)|utilis(?:ons|e)|utiliza|usa|utilizza"
        r"|gebrui(?:kt|ken)|maakt gebruik van|använder|bruger|bruker|używa|korzysta|wykorzystuje"
        r"|использу(?:ет|ем)|применяет|používá)\b.{0,40}(?:\bcookie|\bkakor|\bkuki|\bкуки"
        r"|\bciastecz|\binformasjonskaps).{0,300}"
        r"|(?:utilizamos|usamos|utilizziamo|usiamo|używamy|korzystamy z|wykorzystujemy|používáme"
        r"|käytämme)\b.{0,30}\b(?:cookie|ciastecz|eväste).{0,300}"
        r"|.{0,60}(?:サイト|ページ|ブログ|弊社|当社).{0,60}(?:cookie|クッキー).{0,40}(?:使用|利用).{0,200}"
        r"|.{0,40}(?:网站|網站|我们|我們).{0,20}使用.{0,20}cookie.{0,200}"
        r"|.{0,60}쿠키를 사용.{0,200}"
        r"|we and our .{0,30}\bpartners\b(?=.*\b(?:cookie|data|device|consent|process)).{0,300}"
        r"|(?:we value )?your privacy.{0,250}\b(?:accept|preferences|choices|consent)\b.{0,60}"
        r"|(?:accept|allow|reject|decline|refuse|manage|customi[sz]e|only) ?(?:all|optional"
        r"|necessary|essential|my)? ?cookies?|cookie (?:preferences|notice|consent|banner)"
        r"|alle (?:akzeptieren|ablehnen|cookies akzeptieren)|tout (?:accepter"
        r"|refuser)|aceptar (?:todas|cookies)|accetta (?:tutti|cookie)|nur notwendige"
        r"|alle cookies accepteren|acceptera (?:alla )?(?:cookies|kakor)|akceptuj (?:wszystkie"
        r"|cookies)|принять (?:все )?(?:cookies?|куки)|принять все"
    ),
    "share": (
        r"(?:share|tweet|pin|like|follow|email|print|save|whatsapp|facebook|twitter)"
        r"(?: (?:this|us|on|via|to|with)){1,3}(?: (?:article|page|post|story|facebook|twitter|x"
        r"|linkedin|reddit|pinterest|whatsapp|email|telegram|instagram|youtube|tumblr|friends?"
        r"|pocket)){1,2}:?"
        r"|(?:share|tweet|pin|facebook|twitter|linkedin|reddit|pinterest|whatsapp|telegram"
        r"|instagram)(?:[ ,|·/]+(?:share|tweet|pin|facebook|twitter|linkedin|reddit|pinterest"
        r"|whatsapp|telegram|instagram|youtube|tumblr|email|e-mail|print|x|rss|copy link)){1,9}"
        r"|share (?:this|it)(?: on .{0,20})?:?|follow us(?: on .{1,30})?:?"
        r"|[\d.,]+[km]? (?:likes?|shares?|views?|retweets?|followers|reactions?"
        r"|votes?|reads?|upvotes?|claps?)(?:[ ,|·]+[\d.,]+[km]? (?:likes?|shares?|views?|retweets?"
        r"|followers|reactions?|votes?|reads?|upvotes?|claps?|comments?|replies)){1,4}"
        r"|[\d.,]+[km]? (?:shares|retweets|followers|upvotes)"
        r"|teilen auf .{1,20}|partager sur .{1,20}|compartir en .{1,20}|condividi su .{1,20}"
    ),
    "comments": (
        r"comments? ?\(\d{1,6}\)|no comments yet[.!]?"
        r"|(?:leave|add|post|write) a (?:comment|reply)[.!]?"
        r"|(?:view|show|hide|load) (?:all |more )?(?:\d{1,6} )?(?:comments|replies)"
        r"(?: \(\d{1,6}\))?"
        r"|join the (?:discussion|conversation)[.!]?|\d{1,6} comments?(?: yet| below)?"
        r"|(?:log|sign) in to (?:comment|reply"
        r"|post|vote).{0,30}|you must be logged in to .{0,60}|be the first to (?:comment|reply"
        r"|like).{0,20}|comments (?:are )?(?:closed|off|disabled)(?: for .{1,20})?[.!]?"
        r"|reply report|upvote downvote"
    ),
    "sign in": (
        r"(?:already (?:have an account|a (?:member|subscriber))\??|don.t have an account\??"
        r"|not a member\??|new here\??) ?(?:sign|log|register|join|create|subscribe).{0,30}"
        r"|(?:sign|log) ?(?:in|up)(?: or (?:sign|log|register|create|join).{0,20}| now"
        r"| for free| to (?:continue|your account|get started))[.!]?"
        r"|create (?:a |your )free account[.!]?|forgot (?:your )?password ?\?"
        r"|anmelden / .{1,20}|connexion / .{1,20}"
        r"|.{0,80}\b(?:subscribe|register|sign (?:in|up)|log in|account)\b.{0,30}\bto (?:keep"
        r"|continue|finish) reading\b.{0,40}"
    ),
    "newsletter": (
        r"(?:subscribe|sign up|join)(?: (?:now|today|here|free|to|for|our|the|us|a|daily|weekly"
        r"|email|mailing)){0,6} (?:newsletters?|mailing list)[.!]?(?: .{0,80})?"
        r"|subscribe (?:now|today|via rss|to (?:rss|our feed))[.!]?"
        r"|enter your email(?: address)?(?: .{0,20})?|get (?:the )?(?:latest|daily|weekly"
        r"|best) .{1,60} (?:in|to) your inbox.{0,20}|no spam.{0,40}unsubscribe.{0,30}"
    ),
    "read more": (
        r"(?:read|see|show|view|load|learn|find out) (?:more|full (?:article|story))"
        r"(?: (?:posts|articles|stories|»))?[ .…»›→>]*"
        r"|most (?:read|popular|viewed|shared|commented) (?:articles?|posts?|stories):?"
        r"|continue reading[ .…»›→>]*(?:.{0,80}→)?|(?:related|recommended|popular|trending"
        r"|latest|recent|top|more)(?: (?:articles?|posts?|stories|news|videos?))+:?"
        r"|you (?:may|might) also (?:like|be interested in|enjoy)[:.…]{0,3}"
        r"|(?:customers|people|readers) (?:who"
        r"|also) .{1,40}(?:also )?(?:bought|viewed|read|liked)|weiterlesen"
        r"|lire la suite|en savoir plus|leer más|leggi (?:tutto|di più|anche)"
        r"|\d{1,3}[ -]min(?:ute)?s? read"
    ),
    "skip link": (
        r"(?:skip|jump)(?: directly| straight)? to(?: the| main| page)* (?:content"
        r"|navigation|nav|menu|footer|sidebar)(?: links?)?|skip (?:over )?navigation(?: links?)?"
        r"|back to (?:the )?top|return to top|nach oben|zum (?:inhalt springen"
        r"|seitenanfang)|haut de (?:la )?page|aller au contenu.{0,20}|volver arriba"
        r"|ir al contenido.{0,20}|torna su|vai al contenuto.{0,20}"
    ),
    "edit link": (
        r"\[(?:edit|edit source|view source|show source|page source)\]|show source"
        r"|view page source|edit (?:this|on) (?:page|article|section|github|gitlab|wiki).{0,30}"
        r"|(?:improve|suggest (?:an )?edits? (?:to|for)?|report (?:a |an )?(?:bug|issue|problem)"
        r"(?: (?:with|on|in))?)(?: this)? (?:page|article|doc(?:ument)?s?"
        r"|on github|suggest an enhancement)|found a (?:bug|typo|mistake) ?\?.{0,30}|permalink"
        r"|copy item path|expand description|was this (?:page |article )?helpful ?\?.{0,20}"
        r"|thanks? for your feedback[.!]?|printer[- ]friendly(?: version| page)?"
        r"|print this (?:page|article)|toggle (?:navigation|sidebar|dark mode)"
    ),
    "JavaScript notice": (
        r"(?:.{0,60}\b(?:please|sorry|need to|must|have to|should)\b.{0,20}\b)?(?:enable|activate"
        r"|turn on|allow) javascript(?:,? (?:in|on|to|for|and|or) .{0,140}|[.!]?)"
        r"|.{0,60}\bplease (?:enable|activate|turn on|allow)\b.{0,20}\bjavascript\b.{0,140}"
        r"|(?:sorry, )?(?:this|our|the) (?:[a-z]+ )?"
        + SITE
        + r" (?:requires?|needs?|relies on|works best"
        r" with) (?:that )?javascript(?: (?:to|enabled|is|be|turned|support|in)\b.{0,140}|[.!]?)"
        r"|(?:(?:it (?:seems|looks|appears)|oops|sorry|note|warning)\b.{0,20}\b)?(?:your (?:web )?"
        r"browser.{0,20} )?javascript (?:is|must be|seems to be|appears to be)(?: currently)?"
        r" (?:disabled|required|turned off|not (?:enabled|supported|available)|switched off)"
        r"(?: (?:in|on|by|for|to) (?:your|this|view|use) .{1,120}|[.!]?(?: please .{0,100})?)"
        r"|javascript must be (?:enabled|activated|turned on)\b.{0,120}"
        r"|(?:bitte )?(?:aktivieren sie|aktiviere) .{0,20}\bjavascript\b.{0,120}"
        r"|.{0,60}\b(?:activer|activar|habilitar|abilitare|veuillez activer|active)\b.{0,20}"
        r"\bjavascript\b.{0,120}|javascript (?:est désactivé|ist deaktiviert)\b.{0,120}"
        r"|your browser (?:does not|doesn.t|is not|is out)(?=.*\b(?:support|supported|date"
        r"|javascript)\b).{0,100}"
    ),
    "generator": (
        r"(?:proudly )?(?:powered|generated|built|created|made|designed|hosted"
        r"|maintained)(?: with)? (?:by|using|with) (?:the )?" + TEMPLATE + r".{0,80}"
        r"|powered by .{1,30}[|·].{1,60}|this (?:document"
        r"|page|file|manual) was (?:last )?(?:generated|updated|modified|built) (?:on|at)"
        r" (?=.*\d).{1,60}|(?:page )?last (?:updated|modified|changed|edited|revised"
        r"|build)(?: on| at)?:? (?=.*\d{4}).{3,60}"
    ),
    "breadcrumb": r"you are here:.{0,120}",
    "copyright": (
        r"(?:copyright|©|\(c\)|&copy;)(?=.*\b\d{4}).{0,120}\ball rights reserved\b.{0,80}"
    ),
    "pager": (
        r"(?:[«‹<←]+ ?)?(?:prev(?:ious)?|next|older|newer|zurück|weiter|précédent"
        r"|suivant|anterior|siguiente|precedente|successivo)(?: (?:page|post|posts|article"
        r"|entry|entries|chapter|section|topic|story|up))?(?: ?[»›>→]+)?(?:[ "
        r"|·/,-]+(?:prev(?:ious)?|next|up|home|top|contents|index|older|newer|last)(?: (?:page"
        r"|post|posts|article|entries|chapter))?(?: ?[»›>→]+)?){1,6}|page \d{1,5} of \d{1,5}"
        r"|seite \d{1,5} von \d{1,5}|page \d{1,5} sur \d{1,5}"
        r"|(?:\d{1,4}[ |·]+){3,20}(?:…|\.\.\.|next|last|»)(?: .{0,10})?"
    ),
}
"""Rules that hold wherever the line stands: no sentence or heading of a text is such a line."""

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
        r"[«‹←] ?[^«»]{1,60}|[^«»]{1,60} ?[»›→]|[«‹<←↑ ]*(?:prev(?:ious)?|next|up"
        r"|back|newer|older|previous topic|next topic|zurück"
        r"|weiter)[»›>→| ]*"
    ),
    "breadcrumb": (
        r"[\w&' -]{1,30} › [\w&' -]{1,30}|(?:home|startseite|accueil|inicio)\s*[>»›→]"
        r"\s*[^>»›/→|]{1,60}(?:\s*[>»›/→|]\s*[^>»›/→|]{1,60}){0,8}"
        r"|home(?:\s\|\s[^>»›/→|]{1,60}){2,8}|start\s*[»›]\s*[^>»›/→|]{1,60}"
        r"(?:\s*[»›]\s*[^>»›/→|]{1,60}){0,8}"
    ),
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
"""Rules that want company, each other's too: entries of menus, and what footers say."""

LIKELY = {
    "advertisement": r"ads?|advert|sponsored(?: by .{1,40})?|promoted by .{1,40}|anzeigen?|werbung"
    r"|reklama|реклама",
    "cookie notice": (
        r"(?:.{0,60}\b)?(?:we|our|this "
        + SITE
        + r"|the "
        + SITE
        + r")\b.{0,60}\b(?:use|uses|using)"
        r"\b.{0,40}\bcookies?\b.{0,300}|by (?:continuing|using|browsing|clicking|closing).{0,120}"
        r"\bcookies?\b.{0,200}|we and our .{0,30}\bpartners\b.{0,300}|(?:accept|allow|reject"
        r"|decline|refuse|manage|customi[sz]e|only) ?(?:all|optional|necessary|essential|my)?"
        r" ?(?:choices|preferences|consent)|(?:accept|reject|allow|decline) all|got it!?"
        r"|i (?:agree|accept)|(?:privacy|cookie) (?:policy|notice|settings)"
        r"(?:[ |·•,&/-]+(?:terms.{0,20}|cookie.{0,20}|privacy.{0,20}))*|aceptar todo|accetta tutto"
    ),
    "share": (
        r"(?:share|tweet|pin|like|follow|email|print|save|whatsapp|facebook|twitter|linkedin"
        r"|reddit|pinterest|telegram|instagram|youtube|x)(?:(?: this| us| on| via| to| with|[ ,"
        r"|·/]| and)+(?:article|page|post|story|facebook|twitter|x|linkedin|reddit|pinterest"
        r"|whatsapp|email|telegram|instagram|youtube|tumblr|print|link|friends?|pocket|tweet"
        r"|share|pin))+:?|share (?:this|it) .{0,20}:?|follow me(?: on .{1,30})?:?|copy link"
        r"|[\d.,]+[km]? (?:likes?|shares?|views?|retweets?|followers|reactions?|votes?|reads?"
        r"|upvotes?|claps?)|teilen|partager|compartir|condividi"
    ),
    "comments": (
        r"(?:replies|responses|discussion) ?\(\d{1,6}\)"
        r"|(?:no|\d{1,6}|leave a|add a|post a|write a|view|show|hide|load|join the)[ ]?(?:all "
        r"|more |your )?(?:\d{1,6} )?(?:comments?|reply|replies|responses?|discussion"
        r"|conversation)(?: yet| below| \(\d{1,6}\))?[.!]?"
    ),
    "sign in": (
        r"(?:sign|log) ?(?:in|on|up|out)(?: now| here| / .{1,20}| with (?:google|facebook|apple"
        r"|twitter|github|email).{0,10}| to (?:continue|your account|get started).{0,20})"
        r"|(?:create|register) (?:an |your |a free )?account.{0,20}|forgot (?:your )?password"
        r"|remember me|my account"
    ),
    "newsletter": (
        r"(?:subscribe|sign up|join)(?: (?:now|today|here|free|to|for|our|the|us|a|daily|weekly"
        r"|email|mailing)){0,6}(?: (?:updates|list|alerts|channel|emails?))?[.!]?"
        r"|your email(?: address)?"
    ),
    "read more": (
        r"(?:read|see|show|view|load|learn|find out) (?:more|all|less)(?: (?:results"
        r"|posts|articles|stories|about .{1,40}|»))?[ .…»›→>]*|most (?:read|popular|viewed|shared"
        r"|commented|recent):?|(?:related|recommended|popular|trending|latest|recent|top|more)"
        r"(?: (?:from|in|on) .{1,30}| (?:reading|topics|content|products?))+:?"
        r"|you (?:may|might) (?:also )?(?:like|be interested in|enjoy).{0,20}"
        r"|mehr (?:lesen|erfahren)"
    ),
    "skip link": (
        r"(?:skip|jump)(?: directly| straight)? (?:to|over)(?: the| main| page)* (?:content"
        r"|search|main|header|results|page|links?)(?: links?)?|(?:return|go) to (?:the )?top"
        r"|top of (?:the )?page|to top|zum inhalt.{0,20}"
    ),
    "edit link": (
        r"edit|edit source|view source|page source|(?:improve|suggest (?:an )?edits?"
        r"|report (?:a |an )?(?:bug|issue|problem))|link to (?:this|the) .{1,20}"
        r"|(?:yes|no)[ |/]+(?:yes|no)|download (?:as )?pdf|switch (?:theme|language)"
        r"|toggle (?:menu|search|theme)"
    ),
    "JavaScript notice": (
        r".{0,80}\b(?:enable|requires?|needs?|without)\b.{0,30}\bjavascript\b.{0,160}"
        r"|.{0,60}\bjavascript\b.{0,30}\b(?:disabled|required|turned off|not (?:enabled|supported"
        r"|available)|switched off)\b.{0,120}|(?:your )?browser (?:does not|doesn.t|is not).{0,100}"
    ),
    "generator": (
        r"(?:proudly )?(?:powered|website design(?:ed)?|web ?design|theme|site|design) by .{1,40}"
        r"|this (?:document|page|file|manual) was (?:last )?(?:generated|updated|modified|built)"
        r" (?:on|by|at|using) .{1,100}|(?:page )?last (?:updated|modified|changed|edited|revised"
        r"|build)(?: on| at| by)?:? .{3,60}"
    ),
    "breadcrumb": (
        r"(?:home|start|startseite|accueil|inicio|main|index|top)\s*[>»›→|]\s*[^>»›→|]{1,60}"
        r"(?:\s*[>»›→|/]\s*[^>»›→|]{1,60}){1,8}|home /(?: [^/]{1,40} /){0,5} [^/]{1,60}"
        r"|[^«»›]{1,50}(?:[»›][^«»›]{1,50}){2,8}[»›]?"
    ),
    "pager": (
        r"(?:first|last)(?: (?:page|post|chapter))?(?:[ |·/,-]+(?:prev(?:ious)?|next|up|home|top"
        r"|contents|index|older|newer|last)){1,6}|page \d{1,5} (?:of|/) \d{1,5}.{0,30}"
        r"|(?:\d{1,4}[ |·]+){3,20}(?:\d{1,4}|…|\.\.\.)(?: .{0,10})?"
    ),
}
"""Rules that a sentence, a heading or a line of a table may fulfil: they want a line beside them
that another rule takes, or a place among the page's last lines."""

REMAINS = {
    "CSS": (
        r"""[.#@]?[\w.#:,>*\[\]=\"' -]{0,120}\{[^{}]{0,400}\}?|/\*.{0,200}\*/|@(?:media|import"""
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
