"""evaluate: how well does a model predict and answer held-out text, is it better than another?"""

from .compare.verb import compare
from .evaluate import EvaluateConfig, evaluate
from .gate import gate
from .grounding.scorers import Critic
from .grounding.verb import GroundingConfig, grounding, score_answers
from .harness.report import read_report, read_sample_rows
from .likelihood import DocumentScore, bits_per_byte, score_compressor, score_documents

__all__ = [
    "Critic",
    "DocumentScore",
    "EvaluateConfig",
    "GroundingConfig",
    "bits_per_byte",
    "compare",
    "evaluate",
    "gate",
    "grounding",
    "read_report",
    "read_sample_rows",
    "score_answers",
    "score_compressor",
    "score_documents",
]
