"""Contamination: what of a test set stands in texts that a model trains on?

matching.py has the rule. lineage.py asks it of a finished model; the step `decontaminate.testsets`
(testsets:TestSets) keeps it out of a corpus.
"""

STEPS: dict[str, str] = {
    "decontaminate.testsets": "groundup.corpus.decontaminate.testsets:TestSets",
}
"""Name in a pipeline to `module:Class`."""
