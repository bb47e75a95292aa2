"""What LaTeX commands take and mean, as tables.

An argument list is a word: `o` an optional argument that goes, `m` one that goes, `k` one whose
text is kept. A command that no table names goes and its arguments in braces stay, as `detex` does.
Sources: Lamport, LaTeX, 2nd ed., appendix C; the manuals of natbib, biblatex, hyperref, graphicx,
amsmath, booktabs and of the classes llncs, elsarticle, IEEEtran, acmart and revtex.
"""

ARGUMENTS: dict[str, str] = {
    **dict.fromkeys(
        "label vspace hspace bibliographystyle bibliography input include pagestyle thispagestyle "
        "newlength hyphenation index glossary phantom hphantom vphantom hypersetup lstset "
        "graphicspath geometry markright pagenumbering nocite usetikzlibrary tikzset pgfplotsset "
        "addbibresource sisetup captionsetup newsavebox linespread setstretch ensuremath "
        "makeatletter includeonly theoremstyle bibdata pdfinfo typeout message DoNotIndex "
        "usefonttheme usetheme setmainfont setsansfont setmonofont setmainlanguage markdouble "
        "received accepted revised volume issue doi keywordsname date orcidID orcid inst refaddr "
        "altaffilmark corref fnref IEEEauthorrefmark affilnum runningtitle runningauthor "
        "titlerunning authorrunning shorttitle shortauthor".split(),
        "om",
    ),
    **dict.fromkeys(
        "setlength addtolength setcounter addtocounter fontsize markboth DeclareMathOperator "
        "PassOptionsToPackage newboolean setboolean definecolorset tcbset settowidth "
        "settoheight settodepth numberwithin".split(),
        "omm",
    ),
    **dict.fromkeys("documentclass usepackage RequirePackage includegraphics".split(), "omo"),
    **dict.fromkeys("color pagecolor lstinputlisting verbatiminput bibinput".split(), "om"),
    **dict.fromkeys("cmidrule cline hhline specialrule addlinespace".split(), "om"),
    **dict.fromkeys("newtheorem newtheoremstyle".split(), "omomo"),
    **dict.fromkeys("newenvironment renewenvironment".split(), "omoomm"),
    **dict.fromkeys("href textcolor colorbox hyperlink hypertarget scalebox".split(), "omk"),
    **dict.fromkeys("makebox framebox mbox fbox sbox savebox".split(), "ook"),
    **dict.fromkeys("resizebox multicolumn fcolorbox".split(), "ommk"),
    "addcontentsline": "mmm", "definecolor": "ommm", "rule": "omm", "parbox": "ooomk",
    "raisebox": "mook", "rotatebox": "omk", "multirow": "omomok", "ifthenelse": "mkk",
    "texorpdfstring": "km", "MakeUppercase": "k", "url": "k", "path": "k", "let": "mm",
    "makeatother": "", "expandafter": "", "newif": "m", "acrodef": "omm", "fontfamily": "m",
    "newacronym": "ommm", "DeclareRobustCommand": "momm", "newcolumntype": "mom",
    "pgfmathsetmacro": "mm", "newblock": "", "kern": "", "intertext": "k", "IEEEpubid": "m",
    "IEEEmembership": "m", "email": "om",
    "linewidth": "", "textwidth": "", "phantomsection": "", "newpage": "", "clearpage": "",
}  # fmt: skip
DEFINITIONS = frozenset(
    "newcommand renewcommand providecommand DeclareRobustCommand def edef gdef xdef "
    "NewDocumentCommand RenewDocumentCommand ProvideDocumentCommand DeclareDocumentCommand".split()
)
HEADINGS = {
    "part": 1, "chapter": 1, "section": 2, "subsection": 3, "subsubsection": 4, "paragraph": 5,
    "subparagraph": 6, "addchap": 1, "addsec": 2, "frametitle": 2,
}  # fmt: skip
AFFILIATIONS = frozenset(
    "institute address affil affiliation institution department ead authornote addresses".split()
)
NOTES = frozenset("footnote footnotetext thanks endnote marginpar sidenote tnotetext".split())
REFERENCES = frozenset("ref eqref pageref autoref cref Cref vref nameref labelcref".split())
NOT_CITATIONS = frozenset("citestyle citeindextrue citeindexfalse".split())
BREAKING = {
    "par": 4, "item": 3, "newline": 3, "linebreak": 3, "tabularnewline": 3, "cr": 3, "hline": 0,
    "quad": 1, "qquad": 1, "hfill": 1, "enspace": 1, "bigskip": 4, "medskip": 4, "smallskip": 4,
    "maketitle": 4, "newpage": 4, "clearpage": 4, "noindent": 0, "centering": 0, "and": 4,
    "And": 4, "AND": 4, "newblock": 1, "space": 1, "hskip": 1, "vfill": 4,
}  # fmt: skip
ENVIRONMENT_ARGUMENTS = {
    "tabular": "om", "tabular*": "mom", "array": "om", "minipage": "ooom", "longtable": "om",
    "tabularx": "mom", "tabulary": "mom", "multicols": "mo", "list": "mm", "thebibliography": "om",
    "figure": "o", "table": "o", "wrapfigure": "omom", "wraptable": "omom", "enumerate": "o",
    "itemize": "o", "adjustbox": "m", "subfigure": "om", "sidewaystable": "o", "algorithm": "o",
    "algorithmic": "o", "tabbing": "", "supertabular": "om", "xtabular": "om", "scope": "o",
    "adjustwidth": "omm", "mpsupertabular": "om", "otherlanguage": "m", "CJK": "omm",
}  # fmt: skip
FLOATS = {
    **dict.fromkeys("figure wrapfigure sidewaysfigure SCfigure teaserfigure".split(), "figures"),
    **dict.fromkeys("table wraptable sidewaystable threeparttable".split(), "tables"),
    **dict.fromkeys("algorithm listing".split(), "algorithms"),
}
TABLES = frozenset("tabular tabularx tabulary longtable supertabular xtabular tabu".split())
VERBATIM = (
    "verbatim Verbatim BVerbatim LVerbatim lstlisting minted alltt comment filecontents "
    "tcblisting LTXexample"
).split()
DROPPED = frozenset("comment filecontents tikzpicture pspicture picture pgfpicture forest".split())
MATHS = frozenset(
    "equation align alignat gather multline eqnarray displaymath math flalign dmath IEEEeqnarray "
    "subequations".split()
)
ACCENTS = {
    "`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", '"': "\u0308", "=": "\u0304",
    ".": "\u0307", "c": "\u0327", "H": "\u030b", "k": "\u0328", "r": "\u030a", "u": "\u0306",
    "v": "\u030c", "d": "\u0323", "b": "\u0331",
}  # fmt: skip
SIGNS = {
    "\\": "", "&": "&", "%": "%", "$": "$", "#": "#", "_": "_", "{": "{", "}": "}", " ": " ",
    "\n": " ", "\t": " ", ",": " ", ";": " ", ":": " ", "!": "", "/": "", "-": "", "@": "", ">": "",
    "<": "", "+": "", "*": "", "|": "‖",
}  # fmt: skip
SYMBOLS = {
    "ss": "ß", "o": "ø", "O": "Ø", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "aa": "å", "AA": "Å",
    "l": "ł", "L": "Ł", "i": "ı", "j": "ȷ", "dh": "ð", "th": "þ", "LaTeX": "LaTeX", "TeX": "TeX",
    "LaTeXe": "LaTeX2e", "BibTeX": "BibTeX", "XeTeX": "XeTeX", "LuaTeX": "LuaTeX", "eTeX": "eTeX",
    "pdfTeX": "pdfTeX", "XeLaTeX": "XeLaTeX", "LuaLaTeX": "LuaLaTeX", "pdfLaTeX": "pdfLaTeX",
    "ldots": "…", "dots": "…", "textellipsis": "…", "S": "§", "P": "¶", "dag": "†", "ddag": "‡",
    "copyright": "©", "textcopyright": "©", "textregistered": "®", "texttrademark": "™",
    "pounds": "£", "euro": "€", "texteuro": "€", "textdegree": "°", "textbackslash": "\\",
    "textasciitilde": "~", "textasciicircum": "^", "textbar": "|", "textless": "<",
    "textgreater": ">", "textunderscore": "_", "textquotesingle": "'", "textbullet": "•",
    "guillemotleft": "«", "guillemotright": "»", "og": "«", "fg": "»", "textendash": "–",
    "textemdash": "—", "textquotedblleft": "“", "textquotedblright": "”", "textquoteleft": "‘",
    "textquoteright": "’", "slash": "/", "textmu": "µ", "textpm": "±", "texttimes": "×",
    "backslash": "\\", "ie": "i.e.", "eg": "e.g.", "textdollar": "$", "textbraceleft": "{",
    "textbraceright": "}", "lbrace": "{", "rbrace": "}", "lq": "‘", "rq": "’", "glqq": "„",
    "grqq": "“", "textsection": "§", "quotedblbase": "„", "textperiodcentered": "·",
    "checkmark": "✓", "textvisiblespace": "␣", "textasteriskcentered": "*", "today": "",
}  # fmt: skip
LIGATURES = {
    "---": "—", "--": "–", "``": "“", "''": "”", "`": "‘", "~": " ", "!`": "¡", "?`": "¿",
}  # fmt: skip
