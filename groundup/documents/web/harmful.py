"""Harm: how dense a page's words of pornography, hatred, self-harm and crime are.

A word list proves nothing and takes minority dialects and medicine for abuse, so this step scores
and logs, and cuts only where a policy says from which score on, category by category. A list of
your own replaces or adds to the small one here; a trained classifier votes beside it: any Scorer,
named by the function that makes it of an artifact. Knows nothing of training; see corpus/quality.
"""

import re
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from groundup.core import Answer, Config, ConfigError, Conversation, File, Reason, Sample, Scorer

from ..record import PASS, Record, Ruling

LEXICON = {
    "adult": "porn porno pornstar milf hentai camgirl camgirls blowjob handjob cumshot creampie "
    "gangbang deepthroat fuck fucking horny nudes upskirt|hardcore sex|sex cams|live sex|"
    "free porn|nude girls|adult webcam|xxx videos|xxx movies|xxx pics|sexo gratis|sexe gratuit|"
    "sex videos",
    "hate": "untermensch untermenschen|white power|race traitor|racial holy war|subhuman race|"
    "gas the|ethnic cleansing now|death to all|inferior race",
    "self-harm": "thinspo thinspiration proana|pro ana|pro mia|kill yourself|how to kill myself|"
    "painless suicide|suicide methods|cutting myself",
    "crime": "carding fullz darknet|cloned cards|counterfeit money|buy cocaine|buy heroin|buy meth|"
    "stolen credit cards|fake passport|hitman for hire|make a pipe bomb|undetectable malware",
}  # fmt: skip
"""Category to words and, after bars, phrases: unambiguous ones, few on purpose."""
FURTHER = {
    "adult": "порно порнуха порнуху порнушка порнушку порновидео порноролик порноролики порнофильм "
    "порнофильмы порнозвезда порнозвёзды порносайт порносайты трахает трахают трахнул ебёт ебут "
    "минет минеты хентай|секс видео|секс бесплатно|секс чат|секс знакомства|"
    "голые девушки|голые бабы|интим услуги|вызвать проститутку|проститутки москвы|"
    "色情|裸聊|约炮|約炮|淫荡|淫蕩|成人视频|成人視頻|成人影片|成人电影|成人小说|成人网站|成人直播|"
    "色情视频|色情視頻|色情影片|色情网站|色情網站|色情电影|色情小说|色情图片|色情直播|黄色网站|黃色網站|黄色小说|黄色视频|"
    "三级电影|情色电影|情色小说|情色影片|无码视频|無碼影片|国产自拍|美女裸聊|激情裸聊|性爱视频|性愛影片|免费色情",
}
"""Russian and Chinese, in both scripts. Source: own list, without what news says."""
WORD = re.compile(r"[^\W_]+")
UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff]+")
"""Japanese and Chinese, which put no spaces between words."""
SUBSTRING = 3
"""Characters from which such a term counts inside others; a shorter one stands in other words."""


class HarmfulConfig(Config):
    """Lists, a classifier, and the policy."""

    lexicon: File | None = None
    """File of lines `category<TAB>word or phrase`; added to the small list. Source: yours."""
    own_list: bool = True
    """Whether the small list here counts. Source: own judgement; see its words."""
    most: dict[str, float] = {}
    """Category to hits in 1,000 words above which a page is dropped; none drops none."""
    fewest_hits: int = 3
    """Hits below which no page is dropped by the list. Source: own judgement."""
    scorer: str = ""
    """`module:function` that makes a Scorer of `artifact`; none asks no classifier."""
    artifact: File | None = None
    """File or folder given to `scorer`."""
    most_score: float | None = None
    """Score of the classifier above which a page is dropped; none drops none."""


class Harmful:
    """web.harmful: densities by category, a classifier's score, and the policy's cut."""

    def __init__(self, config: HarmfulConfig) -> None:
        self.config = config
        self.words, self.phrases, self.unspaced = lexicon(config)

    @cached_property
    def scorer(self) -> Scorer:
        """The classifier, loaded when first needed."""
        module, _, path = self.config.scorer.partition(":")
        try:
            made: Any = import_module(module)
            for name in path.split("."):
                made = getattr(made, name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(f"scorer={self.config.scorer!r} is not there: {error}.") from None
        return made(self.config.artifact or Path())

    def __call__(self, record: Record) -> Ruling:
        """Rule: scores as metadata; a reason only where the policy names a limit."""
        text = record.text.casefold()
        words = WORD.findall(text)
        if not words:
            return PASS
        hits = self.count(words)
        size = len(words)
        if not text.isascii():
            runs = UNSPACED.findall(text)
            size += sum(len(run) // 2 for run in runs)  # two characters a word
            if runs:
                self.count_unspaced(text, hits)
        metadata = {}
        for category in sorted(hits):
            density = 1000 * hits[category] / size
            most = self.config.most.get(category)
            if most is not None and density > most and hits[category] >= self.config.fewest_hits:
                return Ruling(f"harmful: {category}", density, f"at most {most} in 1,000 words")
            metadata[f"harmful_{category}"] = round(density, 3)
        if self.config.scorer:
            score = self.scorer(Sample(record.id, Conversation()), Answer(record.text))
            if not isinstance(score, Reason):
                if self.config.most_score is not None and score.value > self.config.most_score:
                    return Ruling("harmful: classifier", score.value, score.signature)
                metadata["harmful_score"] = round(score.value, 6)
        return Ruling(metadata=metadata) if metadata else PASS

    def count(self, words: list[str]) -> dict[str, int]:
        """Hits by category: words, and phrases of two to five words."""
        hits: dict[str, int] = {}
        for at, word in enumerate(words):
            category = self.words.get(word)
            if category:
                hits[category] = hits.get(category, 0) + 1
            for phrase, category in self.phrases.get(word, ()):
                if tuple(words[at : at + len(phrase)]) == phrase:
                    hits[category] = hits.get(category, 0) + 1
        return hits

    def count_unspaced(self, text: str, hits: dict[str, int]) -> None:
        """Add the hits of terms that stand inside runs of text without spaces."""
        for term, category in self.unspaced.items():
            if number := text.count(term):
                hits[category] = hits.get(category, 0) + number


Phrases = dict[str, list[tuple[tuple[str, ...], str]]]


def lexicon(config: HarmfulConfig) -> tuple[dict[str, str], Phrases, dict[str, str]]:
    """Words, phrases by their first word, and terms without spaces around them.

    Raises ConfigError if a list is not there or not one.
    """
    pairs = []
    for category, terms in [*LEXICON.items(), *FURTHER.items()] if config.own_list else ():
        words, *phrases = terms.split("|")
        pairs += [(category, term) for term in [*words.split(), *phrases]]
    if config.lexicon:
        try:
            lines = config.lexicon.read_text("utf-8").splitlines()
            pairs += [tuple(line.split("\t", 1)) for line in lines if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The list {config.lexicon} cannot be read: {error}.") from None
    words, phrases, unspaced = {}, {}, {}
    for pair in pairs:
        if len(pair) != 2:
            raise ConfigError(f"{config.lexicon}: {pair[0]!r} has no tab; write category<TAB>word.")
        term = tuple(WORD.findall(pair[1].casefold()))
        if len(term) == 1 and len(term[0]) >= SUBSTRING and UNSPACED.fullmatch(term[0]):
            unspaced[term[0]] = pair[0]
        elif len(term) == 1:
            words[term[0]] = pair[0]
        elif term:
            phrases.setdefault(term[0], []).append((term, pair[0]))
    return words, phrases, unspaced
