"""Deduplication: which records repeat another one, and which of them is kept?

Names in a pipeline; all but the last are global steps (see engine/global_step.py):

    dedup.exact        exact:ExactDedup       the same text except white space
    dedup.minhash      minhash:MinHashDedup   nearly the same words: MinHash, verified on the sets
    dedup.substrings   substrings:Substrings  fifty consecutive words that occur elsewhere
    dedup.earlier      earlier:EarlierCorpus  a near-duplicate of an earlier corpus
"""

SURVEYS: dict[str, str] = {
    "dedup.exact": "groundup.corpus.dedup.exact:ExactDedup",
    "dedup.minhash": "groundup.corpus.dedup.minhash:MinHashDedup",
    "dedup.substrings": "groundup.corpus.dedup.substrings:Substrings",
}
STEPS: dict[str, str] = {"dedup.earlier": "groundup.corpus.dedup.earlier:EarlierCorpus"}
"""Pipeline name to `module:Class`."""
