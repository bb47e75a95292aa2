"""measure: how good is it, how sure are we, and may it go on?

Text distances and scorers give numbers, stats gives them intervals, a test set seals what they are
measured on, and a gate turns them into a verdict that later stages obey.
"""

from . import ranking
from .gate import (
    Check,
    Requirement,
    Verdict,
    above,
    at_least,
    at_most,
    below,
    check,
    loses_at_most,
    no_worse_than,
    read_verdict,
    require,
    verdict,
)
from .release import (
    Bundle,
    Move,
    publish,
    release,
    release_history,
    release_labels,
    resolve,
    roll_back,
)
from .score import Scores, ended, exact_match, refusal, score_all, similarity, token_f1
from .stats import agreement, calibration, power, significance
from .stats.interval import Interval, bootstrap, difference_of_rates, paired, rate, ratio, wilson
from .stats.looks import standard_errors
from .stats.passk import pass_at_k, pass_rate
from .stats.sequence import MeanSequence, RateSequence
from .testset import Card, Look, candidates, look, looks, make_testset, read_card, read_samples
from .text.edit import edit_similarity, levenshtein, normalise

__all__ = [
    "Bundle",
    "Card",
    "Check",
    "Interval",
    "Look",
    "Move",
    "MeanSequence",
    "RateSequence",
    "Requirement",
    "Scores",
    "Verdict",
    "above",
    "agreement",
    "at_least",
    "at_most",
    "below",
    "bootstrap",
    "calibration",
    "candidates",
    "check",
    "difference_of_rates",
    "edit_similarity",
    "ended",
    "exact_match",
    "levenshtein",
    "look",
    "looks",
    "loses_at_most",
    "make_testset",
    "no_worse_than",
    "normalise",
    "paired",
    "publish",
    "pass_at_k",
    "pass_rate",
    "power",
    "ranking",
    "rate",
    "ratio",
    "read_card",
    "read_samples",
    "read_verdict",
    "refusal",
    "release",
    "release_history",
    "release_labels",
    "require",
    "resolve",
    "roll_back",
    "score_all",
    "significance",
    "similarity",
    "standard_errors",
    "token_f1",
    "verdict",
    "wilson",
]
