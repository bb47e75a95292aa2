"""Patterns: the words in which documentation says things of a name.

Named groups are what a rule reads; a pattern is applied to one sentence without markup, or to one
paragraph for the notes on versions. All are written in parts, which are joined as they stand.
"""

import re

EXCEPTION = (
    r"(?:an? |the )?(?P<exception>[A-Za-z_.]*[A-Z]\w*(?:Error|Exception|Warning|Exit))"
    r"(?: exception)?"
)
CONDITION = r"(?P<condition>(?:[Ii]f|[Ww]hen) [^.;:]{8,140}?)"
VERSION = r"(?P<version>\d+(?:\.\d+)+)"
PIECE = r"[^.;:,()]{1,50}(?:\([^()]{1,40}\))?"
LIST = rf"(?:either )?(?P<value>{PIECE}(?:, {PIECE})*,? (?:and|or) {PIECE})"
NUMBER = (
    r"(?P<value>[-+]?\d[\d,.]*(?<![.,])(?:\s?%)?(?:\s[a-zA-Z]+){0,3}?(?: \([^()]{1,30}\))?)"
    r"(?= (?:and|or|if|when|for|in|to|by|on|because|since|but|than)\b|[.,;:)]|$)"
)
STOP = r"(?=[.;]|$)"
"""Where a sentence or a clause ends."""
WORD_STOP = r"(?=[;,)]|\.(?!\w)|$)"
"""The same after a value, which may have a full stop inside: 0.5, core.pager."""

RAISES = [
    re.compile(rf"{CONDITION}, (?:then )?{EXCEPTION} (?:is|will be|gets) (?:raised|thrown)"),
    re.compile(rf"{EXCEPTION} (?:is|will be|gets) raised {CONDITION}{STOP}"),
    re.compile(rf"\b[Rr]aises? {EXCEPTION} {CONDITION}{STOP}"),
    re.compile(rf"(?::raises?|^Raises:) {EXCEPTION}: {CONDITION}{STOP}"),
]
RELEASE = r"(?:version|[A-Z]\w+(?: [A-Z]\w+)?)"
"""What a note calls a version: `New in version 3.1`, `New in Django 4.1`."""
ADDED = re.compile(rf"(?:(?:Added|New) in {RELEASE}|\.\. versionadded::) {VERSION}(?![\w.]*\w)")
NOTE = re.compile(rf"(?:Added|New|Changed|Deprecated|Removed) (?:in|since) {RELEASE} \d|\.\. \w+::")
CHANGED = re.compile(rf"(?:Changed in {RELEASE}|\.\. versionchanged::) {VERSION}:? (?=[A-Z])")
DEPRECATED = re.compile(rf"(?:Deprecated since {RELEASE}|\.\. deprecated::) {VERSION}:? ?")
ITSELF = (
    r"(?:[Uu]se |[Ii]n favou?r|(?:[Tt]his|[Tt]he) (?:function|method|class|option|setting|module|"
    r"attribute|exception|constant|property|decorator)? ?(?:is|has been|was) |"
    r"(?:[Tt]he )?[\w.]*\b{name}(?:\(\))? (?:\w+ )?(?:is|has been|was) )"
)
"""How a note on a version begins that speaks of the whole entry and not of a part of it."""
INSTEAD = [
    re.compile(rf"(?:^|[.:] )[Uu]se (?P<value>(?:the )?[\w.()-]+(?: \w+)?)(?<!\.) instead{STOP}"),
    re.compile(rf"in favou?r of (?P<value>[\w.()-]*[\w()]){STOP}"),
]
DEFAULT = [
    re.compile(
        r"(?:^|[;(] ?|, (?:and|but) )(?i:the|its) default(?: value| setting)? is "
        rf"(?P<value>[^.;,]+(?:\.\w[^.;,]*)*){WORD_STOP}"
    ),
    re.compile(rf"(?:^|[.(] ?|, )[Dd]efaults to (?P<value>[^.;,()]+(?:\.\w[^.;,()]*)*){WORD_STOP}"),
    re.compile(r"\([Dd]efault(?: value)?(?: is|:|=) ?(?P<value>[^();]+)\)"),
    re.compile(r"^[Dd]efault: (?P<value>.+?)\.?$"),
]
RETURNS = [
    re.compile(r"^Returns? (?!(?:NULL|None|-1) (?:if|on|when)\b[^,;]*$)(?P<value>.+)$"),
    re.compile(r"^Returns?: (?:[^:.]{1,60}: )?(?P<value>.+)$"),
    re.compile(r"^:returns?: (?P<value>.+)$"),
]
VALUES = [
    re.compile(
        r"\b(?i:valid|possible|allowed|supported|accepted|permitted) "
        r"(?:values|options|choices|settings|formats|modes) (?:\w+ ){0,3}?"
        rf"are:? {LIST}{STOP}"
    ),
    re.compile(rf"\b(?:(?:must|can|may|should) be|[Ss]et to) one of:? {LIST}{STOP}"),
]
BOUND = r"(?: allowed| permitted)?(?: value| size| length)? is "
RANGE = (
    r"\b(?:in the range|range (?:is )?(?:from|between)|must be between|ranging from|"
    r"values? (?:is |are )?(?:from|between)|set from) "
    r"(?P<value>[-\d.]+(?: \w+)? (?:to|and|through) [-\d.]*\d(?: \w+)?)"
)
MORE = r"\b(?:must|may|can) ?not (?:be (?:more|larger|greater|longer) than|exceed) "
LIMITS = {
    "smallest value allowed for": re.compile(rf"\bmust be at least {NUMBER}"),
    "minimum of": re.compile(rf"\b[Tt]he minimum{BOUND}{NUMBER}"),
    "maximum of": re.compile(rf"\b[Tt]he maximum{BOUND}{NUMBER}"),
    "largest value allowed for": re.compile(rf"(?:{MORE}|\bmust be at most ){NUMBER}"),
    "range of values allowed for": re.compile(RANGE),
}
"""What is asked for, and the words that tell it."""
IS_A = re.compile(
    r"^(?P<what>(?:The |An? )?[\w.-]+(?: [\w.-]+){0,3}?) (?P<be>is|are) "
    r"(?P<value>(?:an?|the|any) (?:[^\s;:]+ ){2,}[^;:]+?)(?:;.*)?\.?$"
)
NO_SUBJECT = (
    r"(?!(?i:\w+(?:ing|ed)\b|un\w+\b|(?:none|zero|true|false|in|on|not|no|possible|present|left|"
    r"neither|both|either|it|this|that|they|so|these|you|set|given|null|yes)\b))"
)
NO_CLAUSE = (
    r"(?!(?:instead|feel|please|be|ensure|remember|avoid|returns?|do|will|can|may|must|is|are|has|"
    r"see|used?|you|and|or|but|which|then|such)\b)"
)
HAPPENS = re.compile(
    rf"^(?P<condition>(?:If|When) {NO_SUBJECT}[^,;:]{{8,110}}), (?P<value>{NO_CLAUSE}[^;:]+?)\.?$"
)
HOW = re.compile(
    r"^(?:To|In order to) (?P<what>[a-z][^,;:()]{14,90}), "
    r"(?P<value>(?:you can |you should |simply )?"
    r"(?:use|call|run|set|specify|pass|add|invoke|type|press) [^;:]+?)\.?$"
)

UNSURE = re.compile(
    r"^(?:if|when) (?:it|this|that|they|so|the above|not|necessary|these|there)\b|\breturned\b|,$|"
    r", (?:or|and|otherwise)\b|\w(?:Error|Exception|Warning)\b|\b(?:and|or)$|"
    r"\b(?:it|they|them|this|these|those|such|ones?(?! of)|the (?:first|second|other|last))\b|"
    r"\b(?:first|originally|initially) \w+e[dn]\b|\b(?:was|were)\b|"
    r"^\w+ the (?:function|method|object|value|option|class|event|feature|process|user)\b",
    re.IGNORECASE,
)
"""Of a condition that leans on another sentence, runs into another clause, or is history."""
CLAUSE = re.compile(
    r"\S+ \S+.*?(?:=|\b(?:is|are|was|has|have|does|do|can|will|must|should|may)\b|n[’']t|"
    r"(?<! of)(?<! the)(?<! or)(?<! and) [a-z]\w*[^\Ws]s\b)"
)
"""Of a condition that has a verb, as far as its shape tells."""
OTHER = re.compile(
    r"raise|\b(?:was|were|had|used to|would|should|prefer\w+|recommended|is (?:now )?available)\b"
)
"""Of what happens: an exception, which another rule asks for, history, or advice."""
NEWS = re.compile(r"\b(?:has|have) been \w+ed\b|\bno longer\b")
"""Of a sentence that tells a change and not what something is."""
TYPE_ALONE = re.compile(
    r"^(?:(?:[Oo]ptional|[Rr]equired)\W*)?(?:\w+\W+){0,4}[Dd]efaults? (?:to|is) \S+$"
)
"""Of a parameter's first sentence that tells its type and default and not what it is for."""
LEANS = re.compile(
    r"\b(?:it|this|that|these|them|those|so|their|ones?(?! of)|former|latter|the (?:same|others?)|"
    r"the feature|the (?:exception|error|warning|problem)(?= and | or |,)|"
    r"(?:old|new|previous) behaviou?r)\b"
)
POINTING = re.compile(
    r"^(?:This|That|These|Those|It|They|He|She|We|You|There|Here|Such|Same|See|Note|Now|Also|One|"
    r"Another|Other|Some|Each|Both|All|Any|What|Which|Who|Its|Their|Example|Section|Chapter|Most|"
    r"Many|Several|Like|Following|First|Second|Next|Currently)\b",
    re.IGNORECASE,
)
"""Of a subject that is no subject by itself."""
GENERIC = re.compile(
    r"^(?:[\d.]+ )?(?:options|description|notes?|name|parameters|arguments|examples?|usage|"
    r"synopsis|functions|return value|see also|overview|introduction|commands|reference|api|"
    r"classes|methods|constants|exceptions|settings|configuration|environment(?: variables)?|"
    r"general|misc\w*|other)$"
)
"""Headings that say nothing of what stands below."""
NOUN_ENDS = re.compile(
    r"\b(?:that|which|who|whose|where|for|of|used|in|with|on|from|by|raised|returned|\w+ing)\b|[,(:]"
)
VERB_IN_HEAD = re.compile(
    r"n[’']t\b|\bthis\b|\b(?:is|are|was|were|did|can|must|may|will|should|has|have|does|do|returns?|"
    r"raises?|specif\w+|uses?|gets?|sets?|provides?|contain\w+|determines?|controls?|allows?|takes?|"
    r"accepts?|defines?|needs?|requires?|represents?|describes?|indicates?|means?|holds?|stores?|"
    r"gives?|makes?|performs?|supports?|referred|completed|encapsulates|occurred|failed|reached)\b"
)
CODE_WORD = re.compile(r"[\w.-]*(?:\w[._]\w|[a-z][A-Z]|^[A-Z]{2,}$)[\w.-]*")
