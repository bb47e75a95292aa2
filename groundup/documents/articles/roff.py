"""The names of roff: requests, macros of man(7) and mdoc(7), special characters, as tables.

Sources: groff_char(7) and groff_man(7) of groff 1.23, mdoc(7) of mandoc 1.14.
"""

SKIPPED: dict[str, tuple[str, ...]] = {
    "de": (".",), "am": (".",), "ig": (".",), "EQ": ("EN",), "PS": ("PE",), "so": (),
    "de1": (".",), "ami": (".",),
}  # fmt: skip
"""Requests whose lines are no text, and what ends them; `..` ends them too."""
IGNORED = frozenset(
    "ad ft hy na nh ne sp ta ti in ll ds nr rm rn tr ps vs ss cs lg bd fp UC DT PD AT TE RS RE "
    "PE EN UE ME YS Sm Dd Os hw mk rt ns rs pl po wh ch it em bp pn als aln do ev hc".split()
)
BREAKS: dict[str, int] = {
    "PP": 4, "Sp": 4, "P": 4, "LP": 4, "TP": 4, "TQ": 3, "IP": 4, "HP": 4, "br": 3, "sp": 4,
    "RS": 4, "RE": 4, "SY": 4, "YS": 4, "OP": 1, "DS": 4, "DE": 4, "ce": 3, "ti": 3, "in": 3,
}  # fmt: skip
"""Breaks that a request makes: see writer.py for the strengths."""
FONTS: dict[str, bool] = {
    "B": False, "I": False, "SM": False, "SB": False, "R": False, "BR": True, "RB": True,
    "IR": True, "RI": True, "BI": True, "IB": True, "UR": False, "MT": False, "MR": True,
    "CW": False, "C": False, "UE": False, "ME": False,
}  # fmt: skip
"""Whether a macro joins its words (fonts that alternate) or keeps them apart."""
MDOC: dict[str, int | None] = {
    "Bl": 4, "El": 4, "It": 4, "Pp": 4, "Lp": 4, "Rs": 4, "Re": 4, "D1": 4, "Dl": 4, "Nd": 1,
    "Fo": 3, "Ft": 3, "In": 3, "Cd": 3, "Vt": 1,
}  # fmt: skip
"""Breaks that macros of mdoc make."""
MDOC_WORDS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        "Nm Ar Pa Sy Em Li Va Vt Er Ev Cm Ic Ad An No Tn Ms Ta Dv Fa Ft It Cd Lb D1 Dl Lk Mt "
        "Fr St Bf Ef Bt Ud Bk Ek Sm Rv Ex Hf Me".split(),
        ("", ""),
    ),
    **dict.fromkeys(
        "%A %B %C %D %I %J %N %O %P %Q %R %T %U %V".split(), ("", ",")
    ),
    "Nd": ("–", ""), "Fl": ("-", ""), "Op": ("[", "]"), "Oo": ("[", "]"), "Oc": ("", "]"),
    "Xr": ("", ""),
    "Dq": ("“", "”"), "Do": ("“", "”"), "Dc": ("", "”"), "Qq": ('"', '"'), "Qo": ('"', '"'),
    "Qc": ("", '"'), "Sq": ("‘", "’"), "So": ("‘", "’"), "Sc": ("", "’"), "Ql": ("‘", "’"),
    "Pq": ("(", ")"), "Po": ("(", ")"), "Pc": ("", ")"), "Bq": ("[", "]"), "Bo": ("[", "]"),
    "Bc": ("", "]"), "Brq": ("{", "}"), "Bro": ("{", "}"), "Brc": ("", "}"), "Aq": ("<", ">"),
    "Ao": ("<", ">"), "Ac": ("", ">"), "Eo": ("", ""), "Ec": ("", ""), "Xo": ("", ""),
    "Xc": ("", ""), "Ns": ("", ""), "Ap": ("’", ""), "Fn": ("", "()"), "Fo": ("", "("),
    "Fc": ("", ")"), "In": ("#include <", ">"), "Ux": ("UNIX", ""), "Bx": ("BSD", ""),
    "Fx": ("FreeBSD", ""), "Nx": ("NetBSD", ""), "Ox": ("OpenBSD", ""), "Dx": ("DragonFly", ""),
    "At": ("AT&T UNIX", ""), "Bsx": ("BSD/OS", ""),
}  # fmt: skip
"""What a macro puts before its words and after the line's end."""
CHARACTERS: dict[str, str] = {
    "em": "—", "en": "–", "hy": "-", "lq": "“", "rq": "”", "oq": "‘", "cq": "’", "aq": "'",
    "dq": '"', "bu": "•", "co": "©", "rg": "®", "tm": "™", "de": "°", "mu": "×", "di": "÷",
    "+-": "±", "<=": "≤", ">=": "≥", "!=": "≠", "==": "≡", "~=": "≈", "->": "→", "<-": "←",
    "<>": "↔", "ua": "↑", "da": "↓", "rs": "\\", "sl": "/", "ti": "~", "ha": "^", "ga": "`",
    "aa": "´", "at": "@", "sh": "#", "Do": "$", "bv": "|", "ba": "|", "br": "|", "ul": "_",
    "12": "½", "14": "¼", "34": "¾", "S1": "¹", "S2": "²", "S3": "³", "sc": "§", "dg": "†",
    "dd": "‡", "Fo": "«", "Fc": "»", "fo": "‹", "fc": "›", "Bq": "„", "bq": "‚", "ff": "ff",
    "fi": "fi", "fl": "fl", "Fi": "ffi", "Fl": "ffl", "ss": "ß", "AE": "Æ", "ae": "æ", "OE": "Œ",
    "oe": "œ", "/O": "Ø", "/o": "ø", "/L": "Ł", "/l": "ł", ":a": "ä", ":o": "ö", ":u": "ü",
    ":A": "Ä", ":O": "Ö", ":U": "Ü", ":e": "ë", ":i": "ï", "'a": "á", "'e": "é", "'i": "í",
    "'o": "ó", "'u": "ú", "'A": "Á", "'E": "É", "`a": "à", "`e": "è", "`i": "ì", "`o": "ò",
    "`u": "ù", "^a": "â", "^e": "ê", "^i": "î", "^o": "ô", "^u": "û", "~n": "ñ", "~a": "ã",
    "~o": "õ", ",c": "ç", ",C": "Ç", "oa": "å", "oA": "Å", "Eu": "€", "Po": "£", "Ye": "¥",
    "ct": "¢", "if": "∞", "mc": "µ", "*a": "α", "*b": "β", "*m": "μ", "*p": "π", "*W": "Ω",
    "lB": "[", "rB": "]", "lC": "{", "rC": "}", "la": "⟨", "ra": "⟩", "dA": "⇓", "rh": "☞",
    "OK": "✓", "no": "¬", "mi": "−", "pl": "+", "eq": "=", "ci": "○", "sq": "□", "lA": "⇐",
    "rA": "⇒", "tf": "∴", "pc": "·", "..": "…", "nb": "∄", "asterisk": "*", "or": "|",
    "hA": "⇔", "vA": "⇕", "tdi": "~", "u2026": "…",
}  # fmt: skip
