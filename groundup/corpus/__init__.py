"""Corpus: which documents may be trained on, which measure, and what was left out and why?"""

from .decontaminate.lineage import Contamination, SampleMatcher, find_contamination
from .dedup.minhash import Pair, near_duplicates
from .explain.compare import compare_runs
from .explain.dry_run import dry_run_page
from .explain.report import report
from .explain.why import RecordHistory, why
from .explain.withdraw import WithdrawConfig, withdraw
from .language import UNDETERMINED, IdentifyConfig, identify_language
from .mixture import (
    MixtureConfig,
    SourceSchedule,
    mixture_weights,
)
from .prepare.folder import CorpusConfig, corpus, write_corpus
from .prepare.stage import prepare
from .quality.training import train_classifier_folders
from .questions.candidates import (
    DocumentCollection,
    QuestionCandidate,
    question_candidates,
    rejection_reason,
)
from .questions.definitions import (
    DocumentedFunction,
    DocumentSection,
    documented_functions,
    titled_sections,
)
from .questions.make import (
    QuestionsConfig,
    choose_questions,
    make_questions,
    read_question_documents,
)
from .questions.names import (
    WordPool,
    count_identifiers,
    identifier_words,
    make_up_name,
    word_pools,
)
from .questions.show import show_testset
from .safety.toxicity import toxic_words
from .split import SPLITS, Split, read_split, read_split_records, split_paths

__all__ = [
    "SPLITS",
    "UNDETERMINED",
    "Contamination",
    "CorpusConfig",
    "DocumentCollection",
    "DocumentSection",
    "DocumentedFunction",
    "IdentifyConfig",
    "MixtureConfig",
    "Pair",
    "QuestionCandidate",
    "QuestionsConfig",
    "RecordHistory",
    "SampleMatcher",
    "SourceSchedule",
    "Split",
    "WithdrawConfig",
    "WordPool",
    "choose_questions",
    "compare_runs",
    "corpus",
    "count_identifiers",
    "documented_functions",
    "dry_run_page",
    "find_contamination",
    "identifier_words",
    "identify_language",
    "make_questions",
    "make_up_name",
    "mixture_weights",
    "near_duplicates",
    "prepare",
    "question_candidates",
    "read_question_documents",
    "read_split",
    "read_split_records",
    "rejection_reason",
    "report",
    "show_testset",
    "split_paths",
    "titled_sections",
    "toxic_words",
    "train_classifier_folders",
    "why",
    "withdraw",
    "word_pools",
    "write_corpus",
]
