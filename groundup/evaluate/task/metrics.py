"""What one sample scores: from likelihoods, from the likelihoods of options, from text.

The names and formulas are lm-eval's (0.4.13). Where lm-eval gives a wrong or undefined number (an
index that is no option's, an option without characters) there is a Reason here. `acc_norm` divides
by characters, `acc_bytes` by bytes of UTF-8. Values come as aggregate.py wants them.
"""

import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from groundup.core import Likelihood, Reason

from .rows import jsonable
from .task import Better, Kind


class Known(NamedTuple):
    """What is fixed about a measure by its name."""

    kinds: tuple[Kind, ...]
    better: Better
    aggregation: str
    """lm-eval's name; see AGGREGATIONS for ours."""
    unit: str = "share"
    options: tuple[str, ...] = ()


IGNORES = ("regexes_to_ignore", "ignore_case", "ignore_punctuation", "ignore_numbers")
CHOICE: tuple[Kind, ...] = ("multiple_choice",)
ROLLING: tuple[Kind, ...] = ("loglikelihood_rolling",)
TEXT: tuple[Kind, ...] = ("generate_until",)

METRICS: dict[str, Known] = {
    "acc": Known(("loglikelihood", "multiple_choice"), "higher", "mean"),
    "acc_norm": Known(CHOICE, "higher", "mean"),
    "acc_bytes": Known(CHOICE, "higher", "mean"),
    "acc_mutual_info": Known(CHOICE, "higher", "mean"),
    "exact_match": Known(("multiple_choice", "generate_until"), "higher", "mean", options=IGNORES),
    "brier_score": Known(CHOICE, "lower", "mean", "squared error"),
    "f1": Known((*CHOICE, "generate_until"), "higher", "f1", "F1"),
    "mcc": Known((*CHOICE, "generate_until"), "higher", "matthews_corrcoef", "correlation"),
    "likelihood": Known(CHOICE, "higher", "", "nats"),
    "perplexity": Known(("loglikelihood",), "lower", "perplexity", "perplexity of an answer"),
    "word_perplexity": Known(ROLLING, "lower", "weighted_perplexity", "perplexity of a word"),
    "byte_perplexity": Known(ROLLING, "lower", "weighted_perplexity", "perplexity of a byte"),
    "bits_per_byte": Known(ROLLING, "lower", "bits_per_byte", "bits per byte"),
    "bleu": Known(TEXT, "higher", "bleu", "BLEU"),
    "chrf": Known(TEXT, "higher", "chrf", "chrF"),
    "chrf++": Known(TEXT, "higher", "chrf++", "chrF++"),
    "ter": Known(TEXT, "lower", "ter", "TER"),
}
DEFAULTS: dict[Kind, tuple[str, ...]] = {
    "loglikelihood": ("perplexity", "acc"),
    "loglikelihood_rolling": ("word_perplexity", "byte_perplexity", "bits_per_byte"),
    "multiple_choice": ("acc", "acc_norm"),
    "generate_until": ("exact_match",),
}
"""What a task measures that does not say."""

AGGREGATIONS = {
    "mean": "mean",
    "nanmean": "mean",
    "perplexity": "perplexity",
    "weighted_perplexity": "perplexity",
    "bits_per_byte": "ratio",
    "median": "median",
    "f1": "f1",
    "matthews_corrcoef": "mcc",
    "bleu": "bleu",
    "chrf": "chrf",
    "chrf++": "chrf++",
    "ter": "ter",
    "brier_score": "mean",
}
"""lm-eval's aggregations by ours: an undefined value is a Reason here, so there are no NaN."""

Values = dict[str, Any]
"""Name of a measure to its value, or to the Reason that it has none."""


class Options(NamedTuple):
    """The options of one question as they were asked, and which is right."""

    texts: Sequence[str]
    asked: Sequence[Likelihood]
    """One an option; then one an option without context, if mutual information is measured."""
    gold: int | tuple[int, ...]
    """The right one, or each that is right."""


def right_options(gold: Any, texts: Sequence[str]) -> int | tuple[int, ...] | Reason:
    """The index or indices of the right options, given as numbers or as an option's text.

    >>> right_options("no", ["yes", "no"]), right_options([0, 1], ["yes", "no"])
    (1, (0, 1))
    >>> right_options(-1, ["yes", "no"]).code
    'target_out_of_range'
    """
    if isinstance(gold, list):
        found = [right_options(each, texts) for each in gold]
        bad = next((each for each in found if isinstance(each, Reason)), None)
        return bad or tuple(each for each in found if isinstance(each, int))
    if isinstance(gold, str) and gold in texts:
        return list(texts).index(gold)
    if isinstance(gold, int) and 0 <= gold < len(texts):
        return int(gold)
    return Reason("target_out_of_range", f"The right option {gold!r} is not one of {len(texts)}.")


def score_options(names: Sequence[str], options: Options) -> Values:
    """The measures of a multiple choice; those that know but one right option take the first.

    >>> asked = [Likelihood(-6.0, False, 3), Likelihood(-4.0, True, 1)]
    >>> score_options(["acc", "acc_norm"], Options(["orange", "fig"], asked, 1))
    {'acc': 1.0, 'acc_norm': 0.0}
    """
    count = len(options.texts)
    logs = np.array([each.logprob for each in options.asked])  # (options,) or (2 options,)
    logs, alone = logs[:count], logs[count:]
    right = (options.gold,) if isinstance(options.gold, int) else options.gold
    best = int(np.argmax(logs))

    def hit(scores: np.ndarray) -> float:
        return float(int(np.argmax(scores)) in right)

    def per(lengths: Sequence[int]) -> float | Reason:
        if 0 in lengths:
            return Reason("empty_option", "An option has no characters to divide by.")
        return hit(logs / np.array(lengths, dtype=np.float64))

    ways: dict[str, Callable[[], Any]] = {
        "acc": lambda: hit(logs),
        "acc_norm": lambda: per([len(text) for text in options.texts]),
        "acc_bytes": lambda: per([len(text.encode()) for text in options.texts]),
        "acc_mutual_info": lambda: hit(logs - alone),
        "exact_match": lambda: float(any(options.asked[index].is_greedy for index in right)),
        "brier_score": lambda: brier(logs, right),
        "f1": lambda: [right[0], best],
        "mcc": lambda: [right[0], best],
        "likelihood": lambda: [right[0], logs.tolist()],
    }
    return {name: ways[name]() for name in names}


def brier(logs: np.ndarray, right: tuple[int, ...]) -> float:
    """Squared distance of the options' probabilities, taken among each other, from the truth."""
    chances = np.exp(logs - logs.max())
    chances /= chances.sum()
    truth = np.zeros(len(logs))
    truth[right[0]] = 1.0
    return float(((chances - truth) ** 2).sum())


def score_likelihood(names: Sequence[str], asked: Likelihood) -> Values:
    """The measures of one continuation: was each of its tokens the likeliest, how likely was it?"""
    ways = {"acc": float(asked.is_greedy), "perplexity": [-asked.logprob, 1]}
    return {name: ways[name] for name in names}


def score_rolling(names: Sequence[str], asked: Likelihood, text: str) -> Values:
    """The measures of a whole text: nats and what they are divided by.

    >>> score_rolling(["word_perplexity"], Likelihood(-9.0, False, 3), "It is so")
    {'word_perplexity': [9.0, 3]}
    """
    size = len(text.encode())
    if not size:
        return dict.fromkeys(names, Reason("empty_text", "The text has no bytes to divide by."))
    words = len(re.split(r"\s+", text))
    return {name: [-asked.logprob, words if name == "word_perplexity" else size] for name in names}


def score_text(name: str, answer: Any, gold: Any, options: Mapping[str, Any]) -> Any:
    """One measure of a generated answer: exact match, or the pair a corpus measure needs.

    Of several right answers any will do. Several answers to one question, where no filter chose,
    give their share of exact matches.
    """
    if name != "exact_match":
        return [gold, answer]
    golds = gold if isinstance(gold, list) else [gold]
    answers = answer if isinstance(answer, list) else [answer]
    if not golds:
        return Reason("no_reference", "There is no right answer to compare with.")
    if not answers:
        return 0.0  # a filter that left nothing
    hits = [[same(said, right, options) for right in golds] for said in answers]
    if isinstance(gold, list):
        return float(any(any(row) for row in hits))
    return float(np.mean([row[0] for row in hits]))


def same(said: Any, right: Any, options: Mapping[str, Any]) -> bool:
    """Whether two answers are equal once what is to be ignored is gone.

    >>> same("The Cat!", "the cat", {"ignore_case": True, "ignore_punctuation": True})
    True
    """
    if not isinstance(said, str) or not isinstance(right, str):
        return said == right
    return bare(said, options) == bare(right, options)


def bare(text: str, options: Mapping[str, Any]) -> str:
    """A text without what exact_match was told to ignore, in lm-eval's order."""
    for expression in options.get("regexes_to_ignore") or ():
        text = re.sub(expression, "", text)
    if options.get("ignore_case"):
        text = text.lower()
    gone = string.punctuation if options.get("ignore_punctuation") else ""
    gone += string.digits if options.get("ignore_numbers") else ""
    text = text.translate(str.maketrans("", "", gone))
    return text.rstrip("\0")  # as numpy's fixed-width texts, in which lm-eval compares


def converted(value: Any, aggregation: str) -> Any:
    """A number that a task's own code made, as aggregate.py wants it; Reason if it is none.

    lm-eval's codes give log-likelihoods, alone or with a weight; here they are nats, [total,
    weight].
    """
    value = jsonable(value)
    try:
        if aggregation in ("perplexity", "ratio"):
            total, weight = value if isinstance(value, list) else (value, 1)
            return finite([-float(total), float(weight)])
        return finite(float(value)) if aggregation in ("mean", "median") else value
    except (TypeError, ValueError):
        return Reason("no_number", f"The task's code gave {str(value)[:60]!r}, which is no number.")


def finite(value: Any) -> Any:
    """The value, or a Reason if a number in it is not finite."""
    if np.isfinite(np.asarray(value, dtype=np.float64)).all():
        return value
    return Reason("not_finite", f"The value {value} is not finite.")
