"""Duplicates: which records say again what another has said, and which of them stays?

By the names that a pipeline calls them, surveys (see engine/survey.py) but for the last, a step:

    dedup.exact        exact:Exact            the same text but for white space
    dedup.minhash      minhash:MinHash        nearly the same words: MinHash, then the exact sets
    dedup.substrings   substrings:Substrings  fifty words in a row that stand elsewhere too
    dedup.earlier      earlier:Earlier        nearly the same as a record of an earlier corpus
"""

SURVEYS: dict[str, str] = {
    "dedup.exact": "groundup.corpus.dedup.exact:Exact",
    "dedup.minhash": "groundup.corpus.dedup.minhash:MinHash",
    "dedup.substrings": "groundup.corpus.dedup.substrings:Substrings",
}
STEPS: dict[str, str] = {"dedup.earlier": "groundup.corpus.dedup.earlier:Earlier"}
"""Names in a pipeline to `module:Class`."""
