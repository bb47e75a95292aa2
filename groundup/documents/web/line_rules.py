"""The words of lines that are no text: patterns of whole lines in lower case, by rule.

English with the commonest lines of German, French, Spanish, Italian, Russian, Chinese, Japanese and
Arabic sites, and the cookie notices of a dozen languages. Each pattern is anchored at both ends by
`fullmatch`, gaps are bounded, and no repetition nests in another without a sign between: linear in
the line, which is short. A sentence may hold any of the words, so a strong rule wants two signs of
a notice. See lines.py for where a rule holds.
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

MARK = (
    r"(?:copyright(?! (?:in|of|on|laws?|acts?|and|as|for|to|from|terms?|owners?)\b)"
    r"|©|\(c\)|&copy;)"
)
FINITE = (
    r"\b(?:is|are|was|were|be|has|have|had|will|would|can|could|may|might|must|shall|should|did|does"
    r"|do|came|became|made|says?|said|gives?|gave|protects?|lasts?|expires?|means?)\b"
)
"""Verbs that make a sentence about copyright of what might be a notice of it."""
HOLDER = (
    r"inc|ltd|llc|llp|plc|gmbh|ag|corp(?:oration)?|co|company|foundation|project|authors?"
    r"|contributors?|group|team|university|institute|association|society|publish(?:ers|ing)|press"
    r"|media|holdings?|limited|by .{2,60}|all rights reserved"
)

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
        r"[^>»›/→|]{1,60}(?:[>»›/→|][^>»›/→|]{1,60}){0,8}"
        r"|home(?:\s\|\s[^>»›/→|]{1,60}){2,8}|start\s*[»›][^>»›/→|]{1,60}"
        r"(?:[»›][^>»›/→|]{1,60}){0,8}"
    ),
    "copyright": (
        MARK + r"(?=.{0,80}\b\d{4}\b)(?![^.]*" + FINITE + r").{0,200}"
        "|" + MARK + r"(?![^.]*" + FINITE + r")(?=.{0,80}\b(?:" + HOLDER + r")\b).{0,120}"
        r"|.{0,120}\ball rights reserved(?:[.!,;|·•©(–-].{0,80}|[ ]?|"
        r" (?:by|to|worldwide|under|unless|except)\b.{0,80})"
        r"|(?:terms|conditions)(?: (?:of|and|&) (?:use|service|sale|conditions)){1,2}[.]?"
        r"(?: ?[|·•,&/–-] ?.{0,60}| and (?:privacy|cookie).{0,20})?|legal (?:notice|information)"
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
        r"(?:home|start|startseite|accueil|inicio|main|index|top)\s*[>»›→|][^>»›→|]{1,60}"
        r"(?:[>»›→|/][^>»›→|]{1,60}){1,8}|home /(?: [^/]{1,40} /){0,5} [^/]{1,60}"
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

APART = r"[ ,|·•/>»｜、　-]{1,4}"
"""Between the entries of a menu."""


def entries(words: str) -> str:
    """A line of one to sixteen entries of a menu."""
    return rf"(?:{words})(?:{APART}(?:{words})){{0,15}}[ |·•»>-]{{0,4}}"


NETS = (
    r"(?:facebook|twitter|x|whatsapp|telegram|instagram|youtube|linkedin|pinterest|vk|rss|qq|line"
    r"|e-?mail|фейсбук\w{0,2}|вконтакте|телеграм\w{0,2}|одноклассник\w{0,3}|соцсет\w{0,2}"
    r"|друзьями|微信|微博|朋友圈|朋友|好友|空间|公众号|はてな(?:ブックマーク)?|فيسبوك|تويتر|واتساب"
    r"|تيليجرام|إنستغرام|يوتيوب|أصدقائك|الأصدقاء)"
)
FURTHER_STRONG = {
    "edit link": (
        r"(?:diese )?seite drucken|imprimer (?:cette|la) page|imprimir (?:esta|la) página"
        r"|распечатать(?: страницу)?|打印本页|このページを印刷|طباعة الصفحة"
    ),
    "cookie notice": (
        r"продолжая (?:использовать|пользоваться|просмотр|работу)(?=.*(?:cookie|куки)).{0,250}"
        r"|(?:本|此|该|該)(?:网|網)?站.{0,20}(?:使用|利用).{0,20}cookie.{0,200}"
        r"|(?:接受|拒绝|拒絕|允许)(?:所有|全部) ?(?:cookies?)?|全部接受"
        r"|(?:仅|只)(?:接受|允许)?必要.{0,12}"
        r"|(?:すべての ?)?(?:cookie|クッキー)(?:の使用)?(?:に同意|を受け入れ|を許可|を拒否).{0,12}"
        r"|すべて(?:同意|許可|受け入れる|拒否)(?:する)?"
        r"|(?=.*(?:تجربت|قبول|موافق|الموقع|موقعنا)).{0,40}(?:نستخدم|يستخدم|تستخدم).{0,40}"
        r"(?:ملفات تعريف الارتباط|ملفات الارتباط|كوكيز|cookie).{0,250}"
        r"|(?:قبول|رفض) (?:الكل|جميع (?:ملفات تعريف الارتباط|الكوكيز)|الكوكيز)"
    ),
    "share": (
        rf"поделиться (?:в|во|на|с|через) {NETS}.{{0,20}}"
        rf"|(?:分享|转发|轉發)(?:到|至|给|給)?[:： ]{{0,2}}{NETS}(?:[ 、,，|/]{{1,3}}{NETS}){{0,8}}"
        r"|分享(?:这篇|此|本)(?:文章|页面|文)?[:：]?|关注我们(?:的(?:微信|微博|公众号|频道).{0,20})?[:：!！]?"
        rf"|{NETS}(?:で|に)(?:シェア|共有|ポスト|ツイート|送る)(?:する)?"
        r"|(?:この)?(?:記事|ページ)を(?:シェア|共有)(?:する)?|シェアする|ツイートする"
        rf"|شارك(?: (?:هذا|هذه|المقال|المقالة|الخبر|الصفحة)){{0,2}} (?:على|عبر|مع) {NETS}.{{0,20}}"
        r"|شارك (?:هذا|هذه) (?:المقال|المقالة|الخبر|الصفحة).{0,4}"
        rf"|تابعنا (?:على|عبر) {NETS}.{{0,20}}"
    ),
    "comments": (
        r"(?:оставить|добавить|написать) комментарий[.!]?|комментари(?:и|ев) ?\(\d{1,6}\)"
        r"|комментариев пока нет[.!]?|\d{1,6} комментари(?:й|я|ев)"
        r"|(?:发表|發表|添加|撰写)(?:评论|評論|回复|留言)|(?:评论|評論|留言) ?[(（]\d{1,6}[)）]"
        r"|(?:kommentare?|commentaires?|comentarios?|commenti) ?\(\d{1,6}\)"
        r"|\d{1,6} ?条评论|暂无评论|登录后(?:才能|方可|可以|即可)?(?:发表)?评论"
        r"|コメントを(?:書く|残す|投稿(?:する)?|見る)|コメント ?[(（]\d{1,6}[)）]"
        r"|\d{1,6} ?件のコメント|(?:اترك|أضف|اكتب) (?:تعليقا|تعليقًا|تعليق|ردا|رد)(?:ك)?"
        r"|التعليقات ?\(\d{1,6}\)|لا توجد تعليقات"
    ),
    "sign in": (
        r"(?:войти|вход)(?: ?[|/] ?| или | )(?:регистрация|зарегистрироваться)"
        r"|(?:登录|登錄|登入)[ |/·]{1,3}(?:注册|註冊)|ログイン[ |/·]{1,3}(?:新規)?(?:会員)?登録"
        r"|تسجيل الدخول[ |/·]{1,3}(?:إنشاء حساب|التسجيل|تسجيل|اشتراك)"
    ),
    "newsletter": (
        r"подпи(?:шитесь|саться|сывайтесь) на (?:нашу |наши |наш )?(?:e?-?mail-?)?"
        r"(?:рассылку|новости|обновления|канал|телеграм\w{0,6}).{0,60}"
        r"|(?:订阅|訂閱)(?:我们的|我們的|本站)?(?:电子|電子|邮件|最新)?(?:新闻|邮件|报|報|通讯|资讯|简报|rss).{0,8}"
        r"|(?:メールマガジン|メルマガ|ニュースレター)(?:に|の|を)?(?:登録|購読)(?:する|はこちら)?"
        r"|(?:اشترك|سجل|انضم)(?: الآن)?(?: (?:في|إلى))? (?:النشرة|نشرتنا|القائمة)"
        r" (?:البريدية|الإخبارية|الإلكترونية).{0,40}"
    ),
    "read more": (
        r"читать (?:далее|дальше|полностью)[ .…»›→>]{0,6}|читайте также(?::.{0,160})?"
        r"|(?:похожие|популярные|последние) (?:статьи|записи|материалы|новости):?"
        r"|(?:阅读|閱讀|查看|了解)(?:更多|全文)(?:内容|文章|详情)?[ .…»›→>]{0,6}"
        r"|(?:相关|推荐|热门|最新|相關|推薦|熱門)(?:文章|阅读|新闻|閱讀|新聞|资讯)[:：]?"
        r"|続きを読む|もっと(?:見る|読む)|(?:関連|人気|おすすめ|新着)(?:の)?(?:記事|ニュース)(?:一覧)?"
        r"|(?:اقرأ|إقرأ) (?:المزيد|أيضا|أيضًا|أيضاً)(?:[ .…»]{0,4}|:.{0,160})"
        r"|(?:مقالات|مواضيع|أخبار) (?:ذات صلة|مشابهة)|الأكثر (?:قراءة|مشاهدة)"
    ),
    "skip link": (
        r"(?:перейти|вернуться) (?:к|на|в) (?:содержимому|содержанию|основному \w{5,12}|контенту"
        r"|навигации|начало|началу|верх)(?: страницы)?|наверх страницы"
        r"|(?:跳到|跳至|跳转到|转到)(?:主要|正文)?(?:内容|導航|导航|正文)|(?:返回|回到)(?:页面)?(?:顶部|頂部|页首)"
        r"|(?:本文|コンテンツ|メインコンテンツ)(?:へ|に)(?:スキップ|移動|ジャンプ)(?:する)?"
        r"|(?:ページ(?:の)?)?(?:トップ|先頭|上部)(?:へ|に)戻る"
        r"|(?:انتقل|تخطي|تخط|تجاوز) إلى (?:المحتوى|القائمة).{0,20}"
        r"|(?:العودة|عودة|الرجوع) (?:إلى|الى) (?:الأعلى|أعلى(?: الصفحة)?)"
    ),
    "copyright": (
        r"(?=.*(?:©|copyright|\d{4})).{0,80}(?:все права защищены|版权所有|版權所有|保留所有权利"
        r"|保留一切权利|無断転載(?:を?禁|・)|(?:جميع|كل) الحقوق محفوظة).{0,60}"
    ),
    "pager": (
        r"(?:上一|前一)(?:页|頁|篇|章)[ |/·]{1,4}(?:下一|后一)(?:页|頁|篇|章)"
        r"|前(?:の(?:ページ|記事))?へ?[ |/·]{1,4}次(?:の(?:ページ|記事))?へ?"
        r"|(?:[«‹←] ?)?(?:предыдущая|назад)(?: \w{5,8})?[ |/·«»←→-]{1,5}(?:следующая|вперёд|вперед)"
        r"(?: \w{5,8})?(?: ?[»›→])?|السابق[ |/·]{1,4}التالي"
    ),
}
"""Lines of the same kinds, most of them Russian, Chinese, Japanese, Arabic. Source: own list."""
FURTHER_WEAK = {
    "menu": "|".join(
        (
            entries(
                r"startseite|impressum|datenschutz(?:erklärung)?|agb|kontakt|über uns|newsletter"
                r"|accueil|mentions légales|nous contacter|plan du site|inicio|noticias|deportes"
                r"|aviso legal|contacto|política de privacidad|chi siamo|contatti|notizie"
            ),
            entries(
                r"главная(?: страница)?|о (?:нас|компании|проекте|сайте)|контакты|новости|услуги"
                r"|товары|каталог|блог|помощь|поиск(?: по сайту)?|меню|войти|выйти|вход|регистрация"
                r"|корзина|архив|карта сайта|магазин|доставка|оплата|вакансии|форум|личный кабинет"
                r"|политика конфиденциальности|пользовательское соглашение|обратная связь"
                r"|подписаться|наверх|поделиться|подробнее|реклама на сайте"
            ),
            entries(
                "首页|首頁|关于我们|關於我們|联系我们|聯繫我們|聯絡我們|新闻(?:中心)?|产品(?:中心)?|登录|登入|注册|註冊"
                "|搜索|搜尋|菜单|菜單|导航|购物车|帮助(?:中心)?|网站地图|隐私(?:政策|声明|权政策)|服务条款|使用条款"
                "|免责声明|友情链接|加入我们|论坛|博客|订阅|分享|收藏|更多|上一[页篇頁]|下一[页篇頁]|返回|点赞|举报"
            ),
            entries(
                "ホーム|トップ(?:ページ)?|会社(?:概要|案内)|お問い合わせ|お問合せ|ニュース|ログイン|ログアウト|会員登録"
                "|新規登録|検索|メニュー|ナビゲーション|カート|ヘルプ|サイトマップ|プライバシーポリシー|個人情報保護方針"
                "|利用規約|採用情報|よくある質問|特定商取引法に基づく表記|ブログ|次へ|前へ|戻る|シェア|フォローする"
            ),
            entries(
                "الرئيسية|الصفحة الرئيسية|من نحن|عن الموقع|اتصل بنا|تواصل معنا|الأخبار|خدماتنا"
                "|المنتجات|المدونة|بحث|البحث|القائمة|تسجيل الدخول|تسجيل الخروج|إنشاء حساب"
                "|سياسة الخصوصية|شروط (?:الاستخدام|الخدمة)|خريطة الموقع|المساعدة"
                "|اشترك|شارك|التالي|السابق|المزيد"
                "|حسابي|سلة التسوق"
            ),
        )
    ),
    "copyright": (
        r"(?:все права защищены|版权所有|保留所有权利|無断転載を?禁(?:止|じます)"
        r"|(?:جميع|كل) الحقوق محفوظة).{0,40}"
    ),
}
"""Entries of menus in the same languages."""
