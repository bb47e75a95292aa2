"""evaluate: how well does a model predict and answer held-out text, is it better than another?"""

from .compare.verb import compare
from .evaluate import EvaluateConfig, EvaluateResult, evaluate
from .gate import gate
from .harness.report import (
    EvaluationReport,
    MeasureReport,
    TaskReport,
    read_report,
    read_sample_rows,
)
from .likelihood import (
    DocumentScore,
    bits_per_byte,
    score_compressor,
    score_conversations,
    score_documents,
)

__all__ = [
    "DocumentScore",
    "EvaluateConfig",
    "EvaluateResult",
    "EvaluationReport",
    "MeasureReport",
    "TaskReport",
    "bits_per_byte",
    "compare",
    "evaluate",
    "gate",
    "read_report",
    "read_sample_rows",
    "score_compressor",
    "score_conversations",
    "score_documents",
]
