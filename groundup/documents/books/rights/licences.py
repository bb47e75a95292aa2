"""Licences: their names in eleven languages, their full texts, and what is on an allow list.

Tables of patterns as data, for `statements.py` to look for in text whose dashes, quotes and broken
words have been made the same. Knows nothing of sentences.
"""

import re
from functools import cache


def vocalized(name: str) -> str:
    """A pattern for an Arabic name, its vowels written or not."""
    return r"\s+".join("".join(f"{one}[\u064b-\u0652]*" for one in word) for word in name.split())


ELEMENTS: dict[str, str] = {
    "BY": r"by|attribution|paternité|namensnennung|atribuci[oó]n|reconocimiento|attribuzione|"
    r"atribuiç[aã]o|naamsvermelding|атрибуци[яи]|с\s+указанием\s+авторства|署名|姓名標示|表示|"
    + vocalized("نسب المصنف"),
    "NC": r"nc|non[\s-]*commercial(?:e|i)?|pas\s+d'\s?utilisation\s+commerciale|"
    r"(?:nicht|keine)[\s-]*kommerziell\w*|n[oã]o?[\s-]*comercial|niet[\s-]*commercieel|"
    r"некоммерческ\w+(?:\s+использовани\w+)?|非商业性使用|非商業性|非営利|"
    + vocalized("غير تجاري"),
    "ND": r"nd|no[\s-]*deriv\w*(?:\s+works)?|pas\s+de\s+modifications?|keine[\s-]*bearbeitung\w*|"
    r"s[ie][nm][\s-]*(?:obras?)?[\s-]*deriva\w*|non[\s-]*opere[\s-]*derivate|"
    r"geen[\s-]*afgeleide[\s-]*werken|без\s+производных(?:\s+произведений)?|禁止演绎|禁止改作|改変禁止|"
    + vocalized("منع الاشتقاق"),
    "SA": r"sa|share[\s-]*alike|partage\s+(?:dans|à|des)\s+\S{1,12}(?:\s+m[eê]mes\s+conditions|"
    r"\s+conditions\s+initiales|identique)?|weitergabe\s+unter\s+gleichen\s+bedingungen|"
    r"compart[ie]r?[\s-]*igual|condividi\s+allo\s+stesso\s+modo|compartilh\w*[\s-]*igual|"
    r"partilha\s+nos\s+mesmos\s+termos|gelijk[\s-]*delen|на\s+тех\s+же\s+условиях|с\s+сохранением\s+условий|相同方式共享|相同方式分享|継承|"
    + vocalized("الترخيص بالمثل"),
}
"""The elements of Creative Commons licences by their official names, hyphens and spaces free.
Source: the deeds of versions 2.0 to 4.0 at creativecommons.org."""
SEP = r"[\s,/()+&:«»“”-]{0,5}"
ANY = "|".join(ELEMENTS.values())
LONG = ANY.replace("by|", "", 1).replace("nc|", "", 1).replace("nd|", "", 1).replace("sa|", "", 1)
CC_VERSION = r"(?:\W{0,3}(?:licen[sc]e,?\s+)?(?:version\s+|v\.?)?(?P<version>[1-4]\.\d)\b)?"
VERSION = r"(?:,?\s+(?:either\s+)?version\s+(?P<version>\d(?:\.\d)?))?"
LICENCES: tuple[tuple[str, str], ...] = (
    (r"\bSPDX-License-Identifier:\s*(?P<id>[\w.+-]{2,40})", "="),
    (
        r"creativecommons\.org/(?:licenses|publicdomain)/"
        r"(?P<cc>zero|mark|publicdomain|by(?:-?\s?(?:nc|sa|nd)){0,2}|[a-z-]{2,12})"
        r"(?:/\s?(?P<version>\d\.\d))?/?",
        "cc",
    ),
    (rf"\bCC{SEP}(?P<cc>BY(?:{SEP}(?:NC|SA|ND)){{0,3}}|ZERO|0(?=\W)){CC_VERSION}\b", "cc"),
    (
        r"(?:Creative\s+Commons|知识共享|創用\s?CC|クリエイティブ・コモンズ|"
        + vocalized("المشاع الإبداعي")
        + r")"
        r"(?:\W{1,3}(?:(?:public\s+)?licen\w+|lizenz|legal\s+code|deed|zero))?"
        rf"{SEP}(?P<cc>(?:(?:{ANY})(?:\b{SEP}|[\u064b-\u0652]{SEP}|(?=[非禁相改継]))"
        rf"(?:-\s)?){{0,4}}){CC_VERSION}",
        "cc",
    ),
    (
        rf"\b(?P<cc>(?:{LONG})(?:{SEP}(?:{LONG})\b){{0,3}}){SEP}(?P<version>[1-4]\.\d)"
        r"(?=\s+(?:inter|unported|licen))",
        "cc",
    ),
    (
        r"\b(?:dedicate|release|place|donate)s?\s+(?P<given>(?:this|the|my|our|all|it)\b"
        r"(?:\s+[\w'-]+){0,4}?)\s+(?:to|in(?:to)?)\s+the\s+public[\s-]?domain",
        "LicenseRef-public-domain",
    ),
    (
        r"(?:dedicated\s+to|released\s+(?:in)?to|placed\s+in(?:to)?|(?:is|are)\s+(?:now\s+)?in)\s+"
        r"the\s+public[\s-]?domain|\b(?:est|ist|es|è|está|is)\s+(?:\w+\s+){0,2}(?:gemeinfrei|"
        r"domaine\s+public|dominio\s+público|pubblico\s+dominio|domínio\s+público|"
        r"publiek\s+domein)|is\s+(?:a|an)\s+public[\s-]domain\s+(?:book|work|text)",
        "LicenseRef-public-domain",
    ),
    (r"GNU\s+Free\s+Documentation\s+Licen[sc]e" + VERSION + r"|\bGFDL\b", "GFDL"),
    (r"GNU\s+(?P<gnu>Lesser\s+|Affero\s+)?General\s+Public\s+Licen[sc]e" + VERSION, "GPL"),
    (r"\bGNU\s+(?P<gnu>A|L)?GPL\b|\b(?P<gnu2>A|L)?GPL[\sv-]{0,2}(?P<version>[23])\b", "GPL"),
    (r"Open\s+Publication\s+Licen[sc]e", "OPUBL-1.0"),
    (r"Mozilla\s+Public\s+Licen[sc]e", "MPL"),
    (r"Artistic\s+Licen[sc]e", "Artistic"),
    (r"Apache\s+(?:Software\s+)?Licen[sc]e(?:,?\s+version\s+2(?:\.0)?)?", "Apache-2.0"),
    (r"\bApache-2\.0", "Apache-2.0"),
    (r"\bMIT(?:/X11)?[\s-](?:style\s+)?Licen[sc]e\b|\bExpat\s+licen[sc]e", "MIT"),
    (r"\bBSD(?:[\s-][\w-]{1,12}){0,2}\s+Licen[sc]e\b", "BSD-3-Clause"),
    (r"\b(?:PSF|Python\s+Software\s+Foundation)\s+Licen[sc]e(?:\s+agreement)?", "PSF-2.0"),
    (r"\bPostgreSQL\s+Licen[sc]e", "PostgreSQL"),
    (r"Project\s+Gutenberg(?:-tm|™)?\s+Licen[sc]e", "LicenseRef-Gutenberg"),
)  # fmt: skip
"""Names: pattern, and SPDX identifier or the way to one."""
TEXTS: tuple[tuple[str, str], ...] = (
    (r"no\s+restrictions\s+whatsoever.{0,160}?Project\s+Gutenberg", "LicenseRef-Gutenberg"),
    (
        r"Permission\s+is\s+granted\s+to\s+make\s+and\s+distribute\s+verbatim\s+copies\s+of\s+this"
        r"(?P<rest>.{0,900}?\bmodified\s+versions)?",
        "Latex2e",
    ),
    (r"Permission\s+is\s+hereby\s+granted,\s+free\s+of\s+charge", "MIT"),
    (r"Redistribution\s+and\s+use\s+in\s+source\b.{0,120}?\bforms", "BSD-3-Clause"),
    (
        r"Permission\s+to\s+use,\s+copy,\s+modify,\s+and\s+distribute\s+this\s+software\s+and\s+"
        r"its\s+documentation\b.{0,120}?without\s+a\s+written\s+agreement",
        "PostgreSQL",
    ),
)
"""Licences in full, which grant by themselves beside a copyright line."""
RESERVED = (
    r"(?<!not )(?<!no )(?<!some )all\s+(?:other\s+)?rights\s+(?:are\s+)?(?:strictly\s+)?reserved|"
    r"alle\s+rechte(?:[\s,]+\w+){0,6}[\s,]+vorbehalten|tous\s+(?:les\s+)?droits\s+(?:\S+\s+)?réservés|"
    r"todos\s+los\s+derechos\s+reservados|todos\s+os\s+direitos\s+reservados|"
    r"tutti\s+i\s+diritti\s+(?:sono\s+)?riservati|alle\s+rechten\s+voorbehouden|版权所有|"
    r"copyrighted\s+project\s+gutenberg|"
    r"no\s+part\s+of\s+(?:this|the)\s+\w+\s+may\s+be\s+(?:reproduced|copied|used|stored|transl)"
)
RESTRICTS = (
    r"(?:for|only)\s+(?:your\s+)?(?:personal|private|non-?\s?commercial)\b.{0,30}\buse\b|"
    r"(?:no|not\s+for)\s+commercial\s+use|non-?\s?commercial\s+(?:use|purposes?)\s+only|"
    r"commercial\s+use\s+(?:is\s+)?(?:not|prohibited|forbidden)|may\s+not\s+be\s+(?:sold|modified)|"
    r"for\s+(?:any\s+)?non-?\s?commercial\s+purposes?"
)
COPYRIGHT = re.compile(
    r"(?:©|\(c\)|\bcopyright\b)(?:\s*(?:©|\(c\)|\bc\b))?[ \t]*"
    r"(?P<years>(?:1[5-9]|20)\d\d(?:[ ,–-]{1,3}(?:and )?(?:(?:1[5-9]|20)\d\d|\d\d\b)){0,40})",
    re.IGNORECASE,
)


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern, small letters or capitals, over lines."""
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


def has(pattern: str, text: str) -> bool:
    """Whether a pattern is anywhere in a text."""
    return compiled(pattern).search(text) is not None


def creative_commons(words: str, version: str | None) -> str:
    """SPDX identifier of a Creative Commons licence by its letters or its words.

    >>> creative_commons("Attribution - Pas d'Utilisation Commerciale", "4.0")
    'CC-BY-NC-4.0'
    >>> creative_commons("zero", None), creative_commons("", None)
    ('CC0-1.0', 'LicenseRef-CC')
    """
    low = words.strip(" -\n").lower()
    if low in ("0", "zero"):
        return "CC0-1.0"
    if low in ("mark", "publicdomain"):
        return "LicenseRef-public-domain"
    bare = re.sub(r"[\s,/()+&:.-]|cc", "", low)
    if re.fullmatch(r"(?:by|nc|nd|sa){1,4}", bare):
        letters = re.findall("by|nc|nd|sa", bare)
    else:
        letters = [
            name for name, pattern in ELEMENTS.items() if has(rf"(?<![^\W_])(?:{pattern})", low)
        ]
    if not letters:
        return "LicenseRef-CC"
    order = [name for name in ELEMENTS if name in {one.upper() for one in letters}]
    return "-".join(["CC", *order, *([version] if version else [])])
