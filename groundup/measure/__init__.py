"""measure: how good is it, how sure are we, and may it go on?

Text distances and scorers give numbers, stats gives them intervals, a test set seals what they are
measured on, and a gate turns them into a verdict that later stages obey.
"""

from . import ranking
from .card import Finding, check_grounding, detectable, holds
from .code.passes import CheckedCode, Passes, check_code, passes, whole_program
from .gate import (
    Check,
    Requirement,
    above,
    at_least,
    at_most,
    below,
    check,
    loses_at_most,
    no_worse_than,
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
from .score import (
    ReferenceScorer,
    Scores,
    bleu,
    cer,
    chrf,
    ended,
    exact_match,
    meteor,
    refusal,
    rouge,
    score_all,
    similarity,
    token_f1,
    wer,
)
from .stats import agreement, calibration, power, significance
from .stats.interval import (
    Interval,
    bootstrap,
    difference_of_rates,
    paired,
    rate,
    ratio,
    wilson,
)
from .stats.looks import standard_errors
from .stats.passk import pass_at_k, pass_rate
from .stats.sequence import MeanSequence, RateSequence
from .testset import (
    Card,
    Look,
    apply_review,
    candidates,
    findings,
    look,
    looks,
    make_testset,
    read_card,
    read_samples,
    warn,
)
from .text.bleu import Bleu
from .text.chrf import Chrf
from .text.corpus import (
    CorpusMeasure,
    CorpusRows,
    corpus_interval,
    corpus_rows,
    corpus_score,
    redrawn,
    score_of_rows,
)
from .text.diversity import distinct, self_bleu
from .text.edit import (
    edit_similarity,
    hamming,
    indel,
    indel_similarity,
    jaro_winkler,
    levenshtein,
    osa,
    subsequence_length,
)
from .text.error_rate import Edit, ErrorCounts, ErrorRate, alignment
from .text.meteor import METEOR, Meteor
from .text.overlap import Overlap, is_equal, token_overlap
from .text.rouge import Rouge
from .text.stem import stem
from .text.summary import Extraction, extraction, fragments, novelty
from .text.ter import Ter
from .text.tokenisers import TOKENISERS
from .text.units import graphemes, ngrams, normalise, normalise_squad, sentences, units, words
from .text.wordnet import synonyms
from .verdict import Verdict, read_verdict, require, verdict

__all__ = [
    "METEOR",
    "TOKENISERS",
    "Bleu",
    "Bundle",
    "Card",
    "Check",
    "CheckedCode",
    "Chrf",
    "CorpusMeasure",
    "CorpusRows",
    "Edit",
    "ErrorCounts",
    "ErrorRate",
    "Extraction",
    "Finding",
    "Interval",
    "Look",
    "MeanSequence",
    "Meteor",
    "Move",
    "Overlap",
    "Passes",
    "RateSequence",
    "ReferenceScorer",
    "Requirement",
    "Rouge",
    "Scores",
    "Ter",
    "Verdict",
    "above",
    "agreement",
    "alignment",
    "apply_review",
    "at_least",
    "at_most",
    "below",
    "bleu",
    "bootstrap",
    "calibration",
    "candidates",
    "cer",
    "check",
    "check_code",
    "check_grounding",
    "chrf",
    "corpus_interval",
    "corpus_rows",
    "corpus_score",
    "detectable",
    "difference_of_rates",
    "distinct",
    "edit_similarity",
    "ended",
    "exact_match",
    "extraction",
    "findings",
    "fragments",
    "graphemes",
    "hamming",
    "holds",
    "indel",
    "indel_similarity",
    "is_equal",
    "jaro_winkler",
    "levenshtein",
    "look",
    "looks",
    "loses_at_most",
    "make_testset",
    "meteor",
    "ngrams",
    "no_worse_than",
    "normalise",
    "normalise_squad",
    "novelty",
    "osa",
    "paired",
    "pass_at_k",
    "pass_rate",
    "passes",
    "power",
    "publish",
    "ranking",
    "rate",
    "ratio",
    "read_card",
    "read_samples",
    "read_verdict",
    "redrawn",
    "refusal",
    "release",
    "release_history",
    "release_labels",
    "require",
    "resolve",
    "roll_back",
    "rouge",
    "score_all",
    "score_of_rows",
    "self_bleu",
    "sentences",
    "significance",
    "similarity",
    "standard_errors",
    "stem",
    "subsequence_length",
    "synonyms",
    "token_f1",
    "token_overlap",
    "units",
    "verdict",
    "warn",
    "wer",
    "whole_program",
    "wilson",
    "words",
]
