"""evaluate: how well does a model predict and answer held-out text, is it better than another?"""

from .compare.rows import Row, bits_per_byte, compare_likelihood, compare_scores, compressor
from .evaluate import EvaluateConfig, Evaluated, evaluate
from .gate import gate
from .harness.report import MeasureReport, Report, TaskReport, read_report, read_rows
from .likelihood import DocumentScore, ScoredModel, answer_scores, score_documents

__all__ = [
    "DocumentScore",
    "EvaluateConfig",
    "Evaluated",
    "MeasureReport",
    "Report",
    "Row",
    "ScoredModel",
    "TaskReport",
    "answer_scores",
    "bits_per_byte",
    "compare_likelihood",
    "compare_scores",
    "compressor",
    "evaluate",
    "gate",
    "read_report",
    "read_rows",
    "score_documents",
]
