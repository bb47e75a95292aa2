"""Deduplication: which records repeat another one, and which of them is kept?

Names in a pipeline; all but the last are global steps (see engine/global_step.py):

    dedup.exact        exact:Exact            the same text except white space
    dedup.minhash      minhash:MinHash        nearly the same words: MinHash, verified on the sets
    dedup.substrings   substrings:Substrings  fifty consecutive words that occur elsewhere
    dedup.earlier      earlier:Earlier        a near-duplicate of an earlier corpus
"""

SURVEYS: dict[str, str] = {
    "dedup.exact": "groundup.corpus.dedup.exact:Exact",
    "dedup.minhash": "groundup.corpus.dedup.minhash:MinHash",
    "dedup.substrings": "groundup.corpus.dedup.substrings:Substrings",
}
STEPS: dict[str, str] = {"dedup.earlier": "groundup.corpus.dedup.earlier:Earlier"}
"""Pipeline name to `module:Class`."""
