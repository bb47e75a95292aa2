"""Corpus: which documents may be trained on, which measure, and what was left out and why?"""

from .decontaminate.lineage import Contamination, contamination
from .dedup.in_memory import (
    Kept,
    Pair,
    Removed,
    near_duplicates,
    remove_exact,
    remove_near,
    remove_overlapping,
)
from .explain.compare import compare_runs
from .explain.dry_run import dry_run_page
from .explain.leaving import WithdrawConfig
from .explain.report import report
from .explain.why import why
from .explain.withdraw import withdraw
from .mixture.weights import (
    MixtureConfig,
    Turns,
    weights_of,
)
from .prepare.folder import CorpusConfig, corpus, write_corpus
from .prepare.stage import prepare
from .quality.training import train_classifier_folders
from .questions.make import QuestionsConfig, make_questions
from .questions.names import Pool, count_identifiers, make_up, module_name, word_pools, words
from .questions.rules import HELD_OUT_RULE, RULES, training_rules
from .questions.show import show_testset
from .split import SPLITS, Split, read_documents, read_records, read_split, split_paths

__all__ = [
    "HELD_OUT_RULE",
    "RULES",
    "SPLITS",
    "Contamination",
    "CorpusConfig",
    "Kept",
    "MixtureConfig",
    "Pair",
    "Pool",
    "QuestionsConfig",
    "Removed",
    "Split",
    "Turns",
    "WithdrawConfig",
    "compare_runs",
    "contamination",
    "corpus",
    "count_identifiers",
    "dry_run_page",
    "make_questions",
    "make_up",
    "module_name",
    "near_duplicates",
    "prepare",
    "read_documents",
    "read_records",
    "read_split",
    "remove_exact",
    "remove_near",
    "remove_overlapping",
    "report",
    "show_testset",
    "split_paths",
    "train_classifier_folders",
    "training_rules",
    "weights_of",
    "why",
    "withdraw",
    "word_pools",
    "words",
    "write_corpus",
]
