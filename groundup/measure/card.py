"""The card of a test set: its statistics, and findings that limit how far a number can be trusted.

Findings are computed when a test set is sealed and stored in its card; disagreements between
reviewers come later and are read from the votes. An `error` means that some samples measure the
wrong thing, a `warning` that numbers are less certain than they seem, a `note` is information.
Independent of document formats: grounding is checked against texts that the caller provides.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil, sqrt
from statistics import NormalDist, median
from typing import Any, Literal, NamedTuple, Protocol, get_args, runtime_checkable

from groundup.core import Reason, Sample

from .stats.interval import z_value

Severity = Literal["error", "warning", "note"]
CONFIDENCE, POWER, DISCORDANT = 0.95, 0.8, 0.2
MIN_GROUPS, MIN_PER_KIND = 20, 10
KIND_SHARE, GROUP_SHARE, LANGUAGE_SHARE = 0.5, 0.1, 0.05
NEAR_DUPLICATE_JACCARD = 0.9
SINGULAR = {"are": "is", "have": "has", "were": "was"}
MAX_NAMED_IDS = 5
"""Maximum number of ids listed in a message."""
WORD = re.compile(r"\w+")
CODE = re.compile(r"`[^`]+`")
SENTENCE_MARKS = re.compile(r"[?.!,;:'\"`“”‘’]+(?=\s|$)|(?<!\S)['\"`“”‘’]+")
TRUNCATED_END = re.compile(r"(?:\.\.\.|…|[-,(\[{“‘=/]|\b(?:the|an?|of|and|or))$")
STOP_WORDS = {
    "English": "the of and to is in that for it with as are this be on what which does if by from",
    "German": "der die das und ist nicht ein eine zu den von mit auf für was wie wird wenn",
    "French": "le la les des et est un une que dans pour pas qui sur ce quel si",
    "Spanish": "el los las y es un una que en para por con no qué del se si",
    "Italian": "il gli e è un una che di per non con del della cosa sono le se",
    "Portuguese": "os é um uma que não para com do da em qual são no se",
    "Dutch": "de het een en is van niet dat op te met voor wat zijn welke aan",
}
SCRIPTS = (
    "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "CYRILLIC", "ARABIC", "HEBREW", "GREEK", "DEVANAGARI",
    "THAI",
)  # fmt: skip
STOP_SETS = {name: frozenset(words.split()) for name, words in STOP_WORDS.items()}
QUESTION_WORDS = STOP_SETS["English"] | frozenset(
    "a an according at can do does how happens you under when".split()
)
"""Words that carry no topic of a question."""
TITLE = re.compile(r"“[^”]*”")


class Finding(NamedTuple):
    """A problem or property of a test set that its users must know."""

    code: str
    """Short and stable, such as `thin` or `contradiction`."""
    severity: Severity
    message: str
    samples: tuple[str, ...] = ()
    """Ids of the affected samples; empty if it concerns all."""

    def __str__(self) -> str:
        """`warning thin: 20 samples …`."""
        return f"{self.severity} {self.code}: {self.message}"


@runtime_checkable
class SourceDocument(Protocol):
    """A source document for the grounding check."""

    @property
    def path(self) -> str:
        """Path as given in the sample's metadata."""
        ...

    @property
    def text(self) -> str:
        """Text that the samples' spans refer to."""
        ...


def card_statistics(samples: Sequence[Sample]) -> dict[str, Any]:
    """Statistics of a card: counts, lengths, languages."""
    asked = [_last_user_message(sample) for sample in samples]
    replies = [reply for sample in samples for reply in sample.references]
    return {
        "samples": len(samples),
        "groups": len({_sample_group(sample) for sample in samples}),
        "without_reference": sum(not sample.references for sample in samples),
        "repeated_conversations": len(samples) - len({s.conversation for s in samples}),
        "kinds": dict(Counter(_sample_kind(sample) for sample in samples).most_common()),
        "question_words": _word_counts(asked),
        "reference_words": _word_counts(replies),
        "languages": dict(Counter(map(_guess_language, asked)).most_common()),
    }


def _word_counts(texts: Sequence[str]) -> dict[str, float]:
    counts = sorted(len(text.split()) for text in texts)
    return {"least": counts[0], "median": median(counts), "most": counts[-1]} if counts else {}


def examine_samples(samples: Sequence[Sample], margin: float = 0.1) -> list[Finding]:
    """All findings that follow from the samples alone, errors first.

    margin: smallest difference of a rate that the test set should detect between two systems

    >>> from groundup.core import Message
    >>> first = Sample("1", (Message("user", "Which port?"),), ("80",))
    >>> second = Sample("2", first.conversation, ("8080",))
    >>> [finding.code for finding in examine_samples([first, second])]
    ['contradiction', 'few_groups', 'thin']
    """
    checks = (_find_contradictions, _find_defective, _find_duplicates, _find_small_groups,
              _find_skew, _find_mixed_languages)  # fmt: skip
    results = [finding for check in checks for finding in check(samples)]
    n, least = len(samples), detectable_difference(len(samples))
    if least > margin:
        text = (
            f"{n} samples show a difference of {ceil(1000 * least) / 10:g} points between two "
            f"systems, not of {100 * margin:g} (80 % power, if they differ on 20 % of them); "
            f"{ceil(n * (least / margin) ** 2)} would"
        )
        results.append(Finding("thin", "warning", text))
    return worst_first(results)


def worst_first(found: Iterable[Finding]) -> list[Finding]:
    """Errors, then warnings, then notes."""
    return sorted(found, key=lambda finding: get_args(Severity).index(finding.severity))


def _find_contradictions(samples: Sequence[Sample]) -> Iterator[Finding]:
    """Equal conversations with different references: a wrong label or an ambiguous question."""
    answers: dict[tuple[str, ...], list[Sample]] = defaultdict(list)
    for sample in samples:
        if _comparison_key(_last_user_message(sample)):  # an empty question is another finding
            code = CODE.findall(_last_user_message(sample))  # `delete` and `Delete` are two names
            answers[(*_conversation_key(sample), *code)].append(sample)
    for same in answers.values():
        if len({frozenset(map(_comparison_key, sample.references)) for sample in same}) > 1:
            line = " ".join(_last_user_message(same[0]).split())
            line = line if len(line) <= 60 else line[:59] + "…"
            text = f"{len(same)} samples ask {line!r} and have other references"
            yield Finding("contradiction", "error", text, tuple(sample.id for sample in same))


def _find_defective(samples: Sequence[Sample]) -> Iterator[Finding]:
    """Samples that are empty, truncated, contain their answer or lack a reference."""
    empty, truncated, leaked, unmarked = [], [], [], []
    for sample in samples:
        asked = _last_user_message(sample)
        if not asked.strip() or any(not reply.strip() for reply in sample.references):
            empty.append(sample.id)
        if any(TRUNCATED_END.search(text.strip()) for text in (asked, *sample.references)):
            truncated.append(sample.id)
        padded, replies = f" {_casefolded_words(asked)} ", map(_casefolded_words, sample.references)
        if any(reply and f" {reply} " in padded for reply in replies):
            leaked.append(sample.id)
        refuses = _sample_kind(sample) == "unanswerable" or sample.metadata.get("refusal")
        if not sample.references and not refuses:
            unmarked.append(sample.id)
    for code, severity, what, ids in (
        ("empty", "error", "have an empty question or reference", empty),
        ("truncated", "warning", "end in the middle of a sentence", truncated),
        ("given_away", "warning", "hold the answer in the question", leaked),
        ("no_reference", "warning", "have no reference and are not marked to be refused", unmarked),
    ):  # fmt: skip
        if ids:
            yield make_finding(code, severity, what, ids)  # type: ignore[arg-type]


def _find_duplicates(samples: Sequence[Sample]) -> Iterator[Finding]:
    """Exact and near-duplicate questions, which count twice in every number.

    Near: most words are equal, or the answer and all topic words are.
    """
    first: dict[tuple[tuple[str, ...], frozenset[str]], str] = {}
    twice: list[str] = []
    for sample in samples:
        key = (_conversation_key(sample), frozenset(map(_comparison_key, sample.references)))
        if first.setdefault(key, sample.id) != sample.id:
            twice.append(sample.id)
    if twice:
        yield make_finding("duplicate", "warning", "repeat another question and its answer", twice)
    asked = {sample.id: _comparison_key(_last_user_message(sample)) for sample in samples}
    pairs = [*_near_duplicate_pairs(samples), *_same_topic_pairs(samples)]
    near = {name for pair in pairs if asked[pair[0]] != asked[pair[1]] for name in pair}
    if near:
        words = f"{NEAR_DUPLICATE_JACCARD:.0%} of the words"
        what = f"ask nearly what another does ({words}, or answer and topic)"
        yield make_finding("near_duplicate", "note", what, sorted(near))


def _same_topic_pairs(samples: Sequence[Sample]) -> Iterator[tuple[str, str]]:
    """Pairs of ids with the same answer and topic words, each with the first such sample.

    Question words and a title between “ and ” are ignored.
    """
    first: dict[tuple[object, ...], str] = {}
    for sample in samples:
        topic = _casefolded_words(TITLE.sub(" ", _last_user_message(sample)))
        words = frozenset(topic.split()) - QUESTION_WORDS
        key = (_sample_kind(sample), words, frozenset(map(_comparison_key, sample.references)))
        if words and sample.references and first.setdefault(key, sample.id) != sample.id:
            yield first[key], sample.id


def _near_duplicate_pairs(samples: Sequence[Sample]) -> list[tuple[str, str]]:
    """Pairs of ids whose questions' word sets have a Jaccard similarity of NEAR or more.

    Exact: two such sets share a word among the rarest few of each, so only those are compared.
    Source: Bayardo et al. 2007, doi:10.1145/1242572.1242591 (prefix filter).
    """
    sets = [frozenset(_casefolded_words(_last_user_message(sample)).split()) for sample in samples]
    frequency = Counter(word for words in sets for word in words)
    holders: dict[str, list[int]] = defaultdict(list)
    pairs = []
    for number, words in enumerate(sets):
        rarest = sorted(words, key=lambda word: (frequency[word], word))
        prefix = rarest[: len(words) - ceil(NEAR_DUPLICATE_JACCARD * len(words)) + 1]
        for other in sorted({index for word in prefix for index in holders[word]}):
            shared = len(words & sets[other])
            if shared >= NEAR_DUPLICATE_JACCARD * (len(words) + len(sets[other]) - shared):
                pairs.append((samples[other].id, samples[number].id))
        for word in prefix:
            holders[word].append(number)
    return pairs


def detectable_difference(n: int) -> float:
    """Smallest difference of rates of two systems on the same n items with 80 % power.

    (z(0.975) + z(0.8)) · √(d / n), d = 0.2: the share of items that only one system gets right.

    >>> round(detectable_difference(200), 3)
    0.089
    """
    return (z_value(CONFIDENCE) + NormalDist().inv_cdf(POWER)) * sqrt(DISCORDANT / n)


def _find_small_groups(samples: Sequence[Sample]) -> Iterator[Finding]:
    """Too few groups for an interval, or too few samples of a kind for a separate number."""
    groups = len({_sample_group(sample) for sample in samples})
    if groups < MIN_GROUPS:
        text = f"{groups} groups; intervals over groups are honest from about {MIN_GROUPS}"
        yield Finding("few_groups", "warning", text)
    counts = Counter(_sample_kind(sample) for sample in samples)
    few = [f"{name} {n}" for name, n in counts.items() if n < MIN_PER_KIND]
    if len(counts) > 1 and few:
        text = f"{len(few)} kinds have fewer than {MIN_PER_KIND} samples ({', '.join(few)})"
        yield Finding("thin_kinds", "note", text)


def _find_skew(samples: Sequence[Sample]) -> Iterator[Finding]:
    limits = (("kind", _sample_kind, KIND_SHARE), ("group", _sample_group, GROUP_SHARE))
    for name, key, most in limits:
        counts = Counter(map(key, samples))
        if len(counts) < 2 or (name == "group" and len(counts) == len(samples)):
            continue
        largest, count = counts.most_common(1)[0]
        if count > most * len(samples):
            text = f"{count} of {len(samples)} samples are of the {name} {largest!r}"
            yield Finding(f"skewed_{name}", "warning", text)


def _find_mixed_languages(samples: Sequence[Sample]) -> Iterator[Finding]:
    """Questions in another language than the majority, where the language is recognised."""
    languages = {sample.id: _guess_language(_last_user_message(sample)) for sample in samples}
    counts = Counter(name for name in languages.values() if name != "unknown")
    others = sum(counts.values()) - max(counts.values(), default=0)
    if others > LANGUAGE_SHARE * len(samples):
        most = counts.most_common(1)[0][0]
        ids = [name for name, spoken in languages.items() if spoken not in (most, "unknown")]
        yield make_finding("mixed_languages", "warning", f"are not in {most} as most are", ids)


def _guess_language(text: str) -> str:
    """The majority script if it is not Latin, else the language with most stop words.

    A cheap heuristic for cards: `unknown` with fewer than two stop words or a tie.

    >>> [_guess_language(text) for text in ("What is the default of this?", "Что это?", "x = 1")]
    ['English', 'CYRILLIC', 'unknown']
    """
    letters = [unicodedata.name(letter, "") for letter in text if letter.isalpha()]
    scripts = Counter(name for letter in letters for name in SCRIPTS if letter.startswith(name))
    if scripts and scripts.total() > len(letters) / 2:
        return scripts.most_common(1)[0][0]
    words = WORD.findall(text.casefold())
    ranks = Counter({name: sum(w in known for w in words) for name, known in STOP_SETS.items()})
    (best, most), (_, second) = ranks.most_common(2)
    return best if most > max(1, second) else "unknown"


def check_grounding(samples: Iterable[Sample], sources: Iterable[SourceDocument]) -> list[Finding]:
    """Check that every reference occurs in its source at the span given in its metadata.

    A reference is grounded if `text[start:end]` equals the quote in the metadata and contains the
    reference's words in order (with markup between them allowed). Samples without a reference or
    without a `document` in their metadata are skipped.
    """
    texts = {source.path: source.text for source in sources}
    missing, moved, other = [], [], []
    for sample in samples:
        metadata = sample.metadata
        if not sample.references or "document" not in metadata:
            continue
        text = texts.get(metadata["document"])
        quote = metadata.get("quote", "")
        if text is None:
            missing.append(sample.id)
        elif not quote or text[metadata.get("start", 0) : metadata.get("end", 0)] != quote:
            moved.append(sample.id)
        elif not any(contains_in_order(quote, reply) for reply in sample.references):
            other.append(sample.id)
    rows = (
        ("source_missing", "are about a document that is not there", missing),
        ("source_changed", "have a quote that does not stand in its document", moved),
        ("ungrounded", "have a reference that is not what the quote says", other),
    )
    return [make_finding(code, "error", what, ids) for code, what, ids in rows if ids]


def contains_in_order(quote: str, reply: str) -> bool:
    """Whether the quote contains the reply's words in order.

    >>> contains_in_order("a :func:`~os.stat` result", "a os.stat result")
    True
    >>> contains_in_order("a result", "result a")
    False
    """
    words = iter(WORD.findall(quote.casefold()))
    return all(word in words for word in WORD.findall(reply.casefold()))


def suspect_labels(
    samples: Sequence[Sample], scores: Mapping[str, Sequence[float | Reason]], share: float = 0.8
) -> list[Finding]:
    """Samples that nearly all good systems fail, which are probably mislabelled.

    scores  per system, one score per sample, 1 for right; systems right on under half are ignored

    With two good systems or more, a sample on which at least `share` of them score 0 is more likely
    mislabelled than hard: review those first.
    """
    table = {
        name: [0.0 if isinstance(score, Reason) else float(score) for score in row]
        for name, row in scores.items()
    }
    good = [row for row in table.values() if sum(row) >= len(row) / 2]
    if len(good) < 2:
        return []
    failed = [
        sample.id
        for number, sample in enumerate(samples)
        if sum(row[number] <= 0 for row in good) >= share * len(good)
    ]
    what = f"are failed by {share:.0%} or more of {len(good)} systems that are right on most others"
    return [make_finding("suspect_label", "warning", what, failed)] if failed else []


def make_finding(code: str, severity: Severity, what: str, ids: Sequence[str]) -> Finding:
    """A finding on some samples that lists the first ids; `what` begins with a plural verb."""
    first = ", ".join(ids[:MAX_NAMED_IDS]) + (" …" if len(ids) > MAX_NAMED_IDS else "")
    verb, _, rest = what.partition(" ")
    singular = f"1 sample {SINGULAR.get(verb, f'{verb}s')} {rest}"
    sentence = f"{len(ids)} samples {what}" if len(ids) > 1 else singular
    return Finding(code, severity, f"{sentence} ({first})", tuple(ids))


def _last_user_message(sample: Sample) -> str:
    turns = [message.content for message in sample.conversation if message.role == "user"]
    return turns[-1] if turns else ""


def _conversation_key(sample: Sample) -> tuple[str, ...]:
    return tuple(f"{turn.role}: {_comparison_key(turn.content)}" for turn in sample.conversation)


def _sample_kind(sample: Sample) -> str:
    return str(sample.metadata.get("kind") or "any")


def _sample_group(sample: Sample) -> str:
    return sample.group or sample.id


def _casefolded_words(text: str) -> str:
    return " ".join(WORD.findall(text.casefold()))


def _comparison_key(text: str) -> str:
    """Normalise for comparison: case, spacing and punctuation are dropped, operators stay.

    >>> _comparison_key("Is it `x + 1`?"), _comparison_key("x - 1") == _comparison_key("x + 1")
    ('is it x + 1', False)
    """
    return " ".join(SENTENCE_MARKS.sub(" ", text.casefold()).split())
