"""Contamination: which test samples occur in training texts?

matching.py defines the rule. lineage.py checks a finished model; the step `decontaminate.testsets`
(testsets:TestSets) removes test samples from a corpus.
"""

STEPS: dict[str, str] = {
    "decontaminate.testsets": "groundup.corpus.decontaminate.testsets:TestSets",
}
"""Pipeline name to `module:Class`."""
