"""Align: conversations and supervised fine-tuning on them; preferences and training on them.

`make_examples` creates conversations from a corpus, including refusals, `import_examples` reads
those of others; `show_examples` prints them with the trained tokens marked; `finetune` trains on
them. `import_preferences` reads preferences; `sample_answers` and `revise_answers` give answers
that people (`review_comparisons`), models (`judge_comparisons`) and rewards (`score_comparisons`)
compare, whose votes `apply_votes` turns into preferences. `direct` trains on them by DPO and kin,
`reward` a reward model, and `reinforce` a model on what is rewarded, by GRPO, PPO and their kin.
`make_refusals` makes examples of what a model does not know, `calibrate_abstention` chooses when it
may answer.
"""

from .abstain.refusals import RefusalsConfig, make_refusals
from .abstain.selective import SelectiveConfig, calibrate_abstention, read_scored
from .direct.losses import PreferenceLossConfig
from .direct.stage import DirectConfig, direct
from .examples.balance import balance
from .examples.exchanges import ABSTENTION_TEXT, REFUSAL_TEXT, ChatExample, is_refusal
from .examples.importing import ImportExamplesConfig, import_examples
from .examples.make import ExamplesConfig, make_examples, read_examples
from .examples.show import show_examples
from .examples.written import ExampleWriter
from .feedback.comparisons import AnswersConfig, sample_answers
from .feedback.deciding import VotesConfig, apply_votes, review_comparisons
from .feedback.judge import JudgeConfig, PairwiseJudge
from .feedback.revise import ReviseConfig, revise_answers
from .feedback.voting import judge_comparisons, score_comparisons
from .finetune import FinetuneConfig, finetune
from .packing import with_reference
from .policy.losses import PolicyLossConfig
from .policy.rewards import Reward, RewardConfig, read_tasks
from .policy.rollouts import RolloutPlan, sample_rollouts
from .policy.stage import PolicyConfig, reinforce
from .policy.watch import WatchConfig
from .preferences import Preference, PreferencesConfig, import_preferences, read_preferences
from .reward.model import RewardModel
from .reward.stage import RewardModelConfig, reward

__all__ = [
    "ABSTENTION_TEXT",
    "REFUSAL_TEXT",
    "AnswersConfig",
    "ChatExample",
    "DirectConfig",
    "ExampleWriter",
    "ExamplesConfig",
    "FinetuneConfig",
    "ImportExamplesConfig",
    "JudgeConfig",
    "PairwiseJudge",
    "PolicyConfig",
    "PolicyLossConfig",
    "Preference",
    "PreferenceLossConfig",
    "PreferencesConfig",
    "RefusalsConfig",
    "ReviseConfig",
    "Reward",
    "RewardConfig",
    "RewardModel",
    "RewardModelConfig",
    "RolloutPlan",
    "SelectiveConfig",
    "VotesConfig",
    "WatchConfig",
    "apply_votes",
    "balance",
    "calibrate_abstention",
    "direct",
    "finetune",
    "import_examples",
    "import_preferences",
    "is_refusal",
    "judge_comparisons",
    "make_examples",
    "make_refusals",
    "read_examples",
    "read_preferences",
    "read_scored",
    "read_tasks",
    "reinforce",
    "review_comparisons",
    "revise_answers",
    "reward",
    "sample_answers",
    "sample_rollouts",
    "score_comparisons",
    "show_examples",
    "with_reference",
]
