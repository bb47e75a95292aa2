"""evaluate: how well does a model predict and answer held-out text, is it better than another?"""

from .compare.verb import compare
from .evaluate import EvaluateConfig, evaluate
from .gate import gate
from .harness.report import read_report, read_sample_rows
from .likelihood import DocumentScore, bits_per_byte, score_compressor, score_documents

__all__ = [
    "DocumentScore",
    "EvaluateConfig",
    "bits_per_byte",
    "compare",
    "evaluate",
    "gate",
    "read_report",
    "read_sample_rows",
    "score_compressor",
    "score_documents",
]
