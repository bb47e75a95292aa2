"""Align: conversations and supervised fine-tuning on them; preferences and training on them.

`make_examples` creates conversations from a corpus, including refusals, `import_examples` reads
those of others; `show_examples` prints them with the trained tokens marked; `finetune` trains on
them. `import_preferences` reads preferences, and `direct` trains on them by DPO, KTO and the like.
`reinforce` trains on tasks whose answers a program can check, by GRPO and its kin. `make_refusals`
makes examples of what a model does not know, `calibrate_abstention` chooses when it may answer.
"""

from .abstain.refusals import RefusalsConfig, make_refusals
from .abstain.selective import SelectiveConfig, calibrate_abstention, read_scored
from .direct.losses import Answers, PreferenceLossConfig
from .direct.stage import DirectConfig, direct
from .examples import ExamplesConfig, make_examples, read_examples, show_examples
from .exchanges import ABSTENTION_TEXT, REFUSAL_TEXT, ChatExample, is_refusal
from .finetune import FinetuneConfig, finetune
from .importing import ImportExamplesConfig, import_examples
from .policy.losses import PolicyLossConfig
from .policy.rewards import RewardConfig, read_tasks
from .policy.stage import PolicyConfig, reinforce
from .preferences import Preference, PreferencesConfig, import_preferences

__all__ = [
    "ABSTENTION_TEXT",
    "REFUSAL_TEXT",
    "Answers",
    "ChatExample",
    "DirectConfig",
    "ExamplesConfig",
    "FinetuneConfig",
    "ImportExamplesConfig",
    "PolicyConfig",
    "PolicyLossConfig",
    "Preference",
    "PreferenceLossConfig",
    "PreferencesConfig",
    "RefusalsConfig",
    "RewardConfig",
    "SelectiveConfig",
    "calibrate_abstention",
    "direct",
    "finetune",
    "import_examples",
    "import_preferences",
    "is_refusal",
    "make_examples",
    "make_refusals",
    "read_examples",
    "read_scored",
    "read_tasks",
    "reinforce",
    "show_examples",
]
