"""What nobody said: joins and leaves, bots, refusals by form, greetings and nothing else.

Lines that a server or a client writes into a log go, each with its reason; turns in which an
assistant only says what it is are cut or counted, as the configuration says; a conversation that is
only greetings is dropped. Lines are matched whole, so a sentence that mentions a bot stays.
"""

import re
from bisect import bisect_right
from collections import Counter
from typing import Literal

from groundup.core import Config

from ..record import Edit, Record, Ruling
from .turns import Turn, content, turns_of

LINE = re.compile(r"[^\n]*\n|[^\n]+$")
CLOCK = (
    r"(?:\[?\(?(?:\d{1,2} [A-Z]\w\w )?\d{1,4}[-:/.T ]\d\d(?:[-:/. T]\d\d){0,4}"
    r"(?:\s?[AP]M)?\]?\)?[ \t,-]{1,20})"
)
TIME = rf"{CLOCK}?"
HOST = r"(?:\[[^\]\n]{1,120}\]|\([^)\n]{1,120}\))"
PLACE = r"(?:#\S{1,60}|IRC|the (?:channel|group|chat|room|server|meeting|conversation))"
STARS = r"(?:\*{1,3} |-!- )?"
EVENTS = (
    rf"(?:\S{{1,40}}|@?\S{{1,40}} \S{{1,40}}) (?:{HOST} )?has (?:joined|left|quit|parted)"
    rf"(?: {PLACE}|\s{HOST})+.{{0,200}}",
    rf"\S{{1,40}} {HOST} (?:has )?(?:joined|left|quit|parted)\b.{{0,200}}",
    r"(?:\*{3}|-!-|-->|<--|→|←|==)[ \t]{0,4}\S{1,40} .{0,30}"
    r"\b(?:joined|left|quits?|parted|Joins|Parts|Quits)\b.{0,200}",
    r"(?:\*{1,3} )?(?:Joins|Parts|Quits|Disconnects): \S.{0,160}",
    rf"{STARS}\S{{1,40}} is now known as \S{{1,40}}",
    rf"{STARS}\S{{1,40}} sets? mode:? [+-].{{0,200}}",
    r"-!- mode/\S{1,40} \[.{0,120}",
    r"-!- Topic for #\S{1,60}.{0,300}",
    r"(?:\*{1,3} )?\S{1,40} changes topic to .{0,400}",
    r"\S.{0,40} (?:added|removed|kicked) \S.{0,40} (?:to|from) the (?:group|channel)\.?",
    r"\S.{0,40} (?:changed the (?:group|subject)\b|pinned a message|created (?:the )?group\b)"
    r".{0,120}",
    r"This message was deleted\.?",
    "<Media omitted>",
    r"Messages (?:and calls )?(?:to this group )?are (?:now )?(?:end-to-end )?"
    r"(?:secured|encrypted).{0,200}",
    r"\[(?:image|sticker|video|GIF|photo|file|audio) (?:omitted|attached)\]",
)
MARKED = rf"{CLOCK}(?:\*{{3}}|-!-|-->|<--|==) \S.{{0,400}}"
"""After a clock, what a client writes before lines that nobody said."""
EVENT = re.compile(rf"(?:{TIME}(?:{'|'.join(EVENTS)})|{MARKED})[ \t\r]*", re.IGNORECASE)
GONE = re.compile(
    rf"(?P<clock>{CLOCK})?{STARS}(?P<who>\S{{1,40}}) (?:has )?(?:quit|joined|left|parted)[ \t\r]*"
)
"""A server's line that names no place: only if it has a clock, or its name is a nick's."""
NOT_NICKS = frozenset(
    "he she it they we i you who someone somebody everyone everybody nobody anyone one that this "
    "mum mom dad all what which nothing".split()
)
LEADS = (
    r"(?:I(?:['’]m| am) )?(?:so |very |really )?sorry", "I apologi[sz]e", "apologies", "however",
    "yes", "no", r"I (?:must|have to|should) (?:inform|remind|tell) you that",
    r"I (?:cannot|can['’]t|do not|don['’]t|am unable to) [^.!?\n]{0,80}?,? (?:as|because|since)",
    "unfortunately", "(?:please )?note(?: that)?", "well", "but", "actually", "of course",
    "es tut mir leid", "leider", "entschuldigung", "(?:je suis )?désolée?", "malheureusement",
    "lo siento", "mi dispiace", "purtroppo", "desculpe", "sinto muito", "infelizmente",
    "很?抱歉", "对不起", "對不起", "申し訳(?:ありません|ございません)が?",
)  # fmt: skip
GOOD = (
    r"(?:(?:helpful|honest|logical|respectful|responsible|ethical|friendly|harmless|humble|legal|"
    r"mere|perfect|safe|simple|dumb|text-based)(?:,|,? and)? ){0,4}"
)
MACHINE = (
    r"(?:AI\b|artificial intelligence\b(?: \(AI\))?|(?:AI |large )?language model\b)"
    r"(?: language)?(?: model| assistant| chat ?bot| program)?"
)
SELVES = (
    rf"as an? {GOOD}{MACHINE}(?: (?:created|designed|developed|trained) by \w+)?"
    r"(?: (?:to|with|without) [^.!?\n]{0,60}?)?(?=,| (?:I|my)\b)[^.!?\n]{0,80}\b(?:I|my|me)\b",
    rf"I(?:['’]m| am) (?:just |only |not )?an? {GOOD}"
    rf"(?:{MACHINE}|machine|chat ?bot|computer program)"
    r"(?=[,.!?\n]|$| (?:and|but|so|not|that|with|without|here|created|designed|developed|trained)"
    r"\b)",
    r"als (?:eine? )?(?:KI|künstliche Intelligenz|(?:großes )?(?:KI-)?Sprachmodell)"
    r"(?:-(?:Sprachmodell|Modell|Assistent(?:in)?|System|Chatbot))?(?=,? )[^.!?\n]{0,80}"
    r"\b(?:ich|mir|mich|mein\w{0,2})\b",
    r"en tant qu(?:e |['’])(?:une? )?(?:IA|intelligence artificielle|(?:grand )?modèle (?:de "
    r"langage|linguistique)|assistante? (?:virtuel(?:le)? |d['’])?IA)\b[^.!?\n]{0,80}\b(?:je|j['’]|"
    r"me|mon|ma|mes)",
    r"como (?:una? |uma? )?(?:(?:gran )?modelo de (?:lenguaje|linguagem)|IA|"
    r"intelig[eê]ncia artificial|asistente (?:virtual|de IA)|assistente (?:virtual|de IA))\b"
    r"[^.!?\n]{0,60}\b(?:yo|eu|me|mi|meu|minha|(?:no|não) \w+o|tengo|tenho|puedo|posso|soy|sou)\b",
    r"(?:in quanto|come|essendo) (?:un['’ ]? ?|una )?(?:modello (?:linguistico|di linguaggio)|IA|"
    r"AI|intelligenza artificiale)\b[^.!?\n]{0,60}\b(?:io|mi|mio|mia|ho|posso|sono)\b",
    r"(?:作为|作為|身为|身為)(?:一[个個名款种種])?(?:大型)?(?:AI|人工智[能慧]|语言模型|語言模型)"
    r"(?:语言|語言)?(?:模型|助手|助理)?(?=[，,]?我)",
    r"我(?:只)?是(?:一[个個名款])?(?:大型)?(?:AI|人工智[能慧]|语言模型|語言模型)(?:语言|語言)?"
    r"(?:模型|助手|助理)?(?=[，,。！!]|$)",
    r"(?:私は)?(?:AI(?:言語モデル|アシスタント)?|人工知能|(?:大規模)?言語モデル)"
    r"(?:として(?=[、,私])|なので|ですので|であるため)",
)
"""How assistants say what they are, in en, de, fr, es and pt, it, zh, ja: all of them say I."""
DISCLAIMER = re.compile(
    rf"(?:\A|(?<=[.!?]\s)|(?<=[。！？\n]))[ \t]{{0,8}}(?:(?:{'|'.join(LEADS)})[,，、:;]?"
    rf"(?: (?:but|aber|mais|pero|ma|mas))?[,，、]? ?){{0,2}}(?:{'|'.join(SELVES)})"
    r"[^.!?。！？\n]{0,300}[.!?。！？]?",
    re.IGNORECASE,
)
CITED = re.compile(
    r"\"[^\"\n]{1,2000}\"|“[^”]{1,2000}”|„[^“”]{1,2000}[“”]|«[^»]{1,2000}»|「[^」]{1,2000}」|"
    r"```.{1,9000}?```",
    re.DOTALL,
)
GREETINGS = (
    "hi+", "hello", "hey+", "yo", "good (?:morning|evening|afternoon|day|night)", "bye+",
    "goodbye", "thanks?(?: you)?", "thx", "ty", "ok(?:ay)?", "sure", "welcome",
    "you(?:'re| are) welcome", "no problem", "np", "how are you", "what'?s up", "sup", "cheers",
    "lol", "hallo", "guten tag", "danke", "bonjour", "merci", "salut", "hola", "gracias", "ciao",
    "grazie",
)  # fmt: skip
WHOM = "(?: (?:there|all|everyone|guys|so much|very much|a lot|folks))?"
GREETING = re.compile(
    rf"(?:(?:{'|'.join(GREETINGS)}){WHOM}[\s,.!?:;)(-]{{0,8}}){{1,4}}", re.IGNORECASE
)


class BoilerplateConfig(Config):
    """What counts as boilerplate of a conversation."""

    bots: tuple[str, ...] = (
        "meetingology", "meetbot", "MeetBot", "ubottu", "ubot5", "supybot", "zodbot", "Slackbot",
        "slackbot", "USLACKBOT", "GitHubBot", "dependabot[bot]", "github-actions[bot]", "KGB",
        "ChanServ", "NickServ", "AutoModerator", "stale[bot]", "codecov[bot]", "MEE6", "Dyno",
    )  # fmt: skip
    """Speakers whose turns are cut. Source: names that these services document for their bots."""
    disclaimers: Literal["cut", "count", "drop"] = "count"
    """Sentences such as "As an AI language model …": cut out of the assistant's turns, only counted
    in the metadata, or a reason to drop the conversation. Source: the ShareGPT cleaning of Vicuna
    (LMSYS, 2023) drops them; own choice to count by default, for dropping removes refusals too."""
    drop_greetings: bool = True
    """Drop a conversation in which every turn is a greeting or thanks."""
    min_repeats: int = 3
    """A line of at least 40 characters that a speaker says this often is a form, and all but its
    first are cut. Source: own choice; auto-signatures and bot answers."""


class Boilerplate:
    """Step `conversations.boilerplate`: what servers, bots and forms wrote."""

    def __init__(self, config: BoilerplateConfig) -> None:
        self.config = config
        self.bots = frozenset(name.lower() for name in config.bots)

    def __call__(self, record: Record) -> Ruling:
        """Rule about one conversation."""
        turns = turns_of(record)
        contents = [content(record.text, turn) for turn in turns]
        spoken = [text for text in contents if text]
        if self.config.drop_greetings and spoken and all(map(is_greeting, spoken)):
            return Ruling("boilerplate: only greetings", float(len(spoken)))
        edits = [Edit(turn.start, turn.end, "bot") for turn in turns if self.is_bot(turn)]
        if record.metadata.get("format") == "irc":  # whose reader calls the server so
            servers = [turn for turn in turns if turn.speaker == "system"]
            edits += [Edit(turn.start, turn.end, "server message") for turn in servers]
        edits += self.lines(record.text, {turn.speaker for turn in turns})
        disclaimers = 0
        for turn in turns:
            if turn.role != "assistant":
                continue
            for edit in disclaimers_of(record.text, turn):
                disclaimers += 1
                if self.config.disclaimers == "cut":
                    edits.append(edit)
        if disclaimers and self.config.disclaimers == "drop":
            return Ruling("boilerplate: assistant speaks of itself", float(disclaimers))
        edits = apart(edits)
        gone = sum(edit.end - edit.start for edit in edits)
        if record.text and len(record.text.strip()) <= gone:
            return Ruling("boilerplate: nothing else", details=f"{len(edits)} pieces")
        return Ruling(edits=tuple(edits), metadata={"disclaimers": disclaimers} if turns else {})

    def is_bot(self, turn: Turn) -> bool:
        """Whether a turn's speaker is one of the bots."""
        return turn.speaker.lower() in self.bots

    def lines(self, text: str, speakers: set[str]) -> list[Edit]:
        """Lines of servers, and lines said again and again."""
        edits, counts = [], Counter[str]()
        for line in LINE.finditer(text):
            whole = line[0].rstrip("\r\n")
            if len(whole) > 500:
                continue
            if EVENT.fullmatch(whole) or is_gone(whole, speakers):
                edits.append(Edit(*line.span(), "server message"))
            elif len(whole) >= 40:
                counts[whole] += 1
                if counts[whole] >= 2:
                    edits.append(Edit(*line.span(), "said again"))
        forms = {whole for whole, count in counts.items() if count >= self.config.min_repeats}
        return [
            edit for edit in edits
            if edit.reason != "said again" or text[edit.start : edit.end].rstrip("\r\n") in forms
        ]  # fmt: skip


def is_gone(line: str, speakers: set[str]) -> bool:
    """Whether a server says that somebody came or went, without saying where.

    >>> is_gone("alice has quit", set()), is_gone("He has quit", set()), is_gone("Bo left", {"Bo"})
    (True, False, False)
    """
    found = GONE.fullmatch(line)
    if found is None or found["who"].lower() in NOT_NICKS:
        return False
    who = found["who"]
    is_said = " has " not in line and not found["clock"]  # `bo left` is what people say
    is_nick = bool(found["clock"]) or who in speakers or who.isalnum() and who == who.lower()
    return is_nick and not is_said and not who.endswith((":", ">", ","))


def disclaimers_of(text: str, turn: Turn) -> list[Edit]:
    """Sentences of a turn in which an assistant says what it is; those that it cites are none."""
    said = content(text, turn)
    start = text.find(said, turn.start)
    cited = [found.span() for found in CITED.finditer(said)]
    edits = []
    for found in DISCLAIMER.finditer(said):
        before = bisect_right(cited, found.start(), key=lambda one: one[0])
        if not before or cited[before - 1][1] <= found.start():
            place = (start + found.start(), start + found.end())
            edits.append(Edit(*place, "assistant speaks of itself"))
    return edits


def is_greeting(text: str) -> bool:
    """Whether a turn only greets or thanks.

    >>> is_greeting("Hi there!"), is_greeting("Hi, my disk is full")
    (True, False)
    """
    return len(text) <= 80 and GREETING.fullmatch(text) is not None


def apart(edits: list[Edit]) -> list[Edit]:
    """Edits in rising order; one that overlaps the one before is left out."""
    kept: list[Edit] = []
    for edit in sorted(edits, key=lambda one: (one.start, -one.end)):
        if edit.start < edit.end and (not kept or edit.start >= kept[-1].end):
            kept.append(edit)
    return kept
