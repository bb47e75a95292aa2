"""Sampling tables of word2vec: subsampling, negative sampling and the hierarchical softmax.

    keep(w)      (√(n/t) + 1) · t/n  in word2vec.c and gensim; √(t/n) in the paper;   t = sample · N
    negatives    n^exponent / Σ n^exponent, as cumulative shares of 2³¹ - 1
    tree         Huffman tree: frequent words have short codes

Numbers are drawn by the linear congruential generator of word2vec.c and gensim:
state ← state · 25214903917 + 11 mod 2⁴⁸, and the number is the upper 32 bits of the state before.
Source: Mikolov et al. 2013, arXiv:1310.4546, §2; the code's formula differs from equation 5.
"""

from typing import Literal, NamedTuple

import numpy as np

MASK = (1 << 48) - 1
DOMAIN = 2**31 - 1
BUCKET_BITS = 15

Subsampling = Literal["gensim", "paper"]


class HuffmanTree(NamedTuple):
    """Each word's path from the root: the inner nodes, and whether it goes right there."""

    points: np.ndarray
    """(all steps,) int32, in 0 … V - 2; the root is V - 2."""
    codes: np.ndarray
    """(all steps,) uint8."""
    paths: np.ndarray
    """(V + 1,) int64: the steps of word w are paths[w] … paths[w + 1] - 1."""


class Word2VecRandom:
    """The random number generator of a job; see the module docstring.

    >>> draws = Word2VecRandom(1 << 16)
    >>> draws.next(), draws.next()
    (1, 3740067437)
    """

    def __init__(self, seed: int) -> None:
        self.state = seed & MASK

    def next(self) -> int:
        """A number from 0 to 2³² - 1."""
        drawn = self.state >> 16
        self.state = (self.state * 25214903917 + 11) & MASK
        return drawn


def keep_thresholds(counts: np.ndarray, sample: float, rule: Subsampling) -> np.ndarray:
    """The largest 32-bit random number that keeps a word, (V,) uint32; see the module docstring.

    sample  frequency above which words are subsampled; values of 1 and more are counts

    >>> (keep_thresholds(np.array([9900, 100]), 0.01, "paper") / 2**32).round(4)
    array([0.1005, 1.    ])
    """
    threshold = sample * counts.sum() if sample < 1 else sample * (3 + np.sqrt(5)) / 2
    ratio = threshold / counts
    share = np.sqrt(ratio) if rule == "paper" else np.sqrt(ratio) + ratio
    return (np.minimum(share, 1.0) * (2**32 - 1)).astype(np.uint32)


def cumulative_shares(counts: np.ndarray, exponent: float) -> np.ndarray:
    """Cumulative shares of the words among negatives, (V,) uint32; the last is 2³¹ - 1.

    >>> cumulative_shares(np.array([16, 1]), 0.75)
    array([1908874353, 2147483647], dtype=uint32)
    """
    shares = counts.astype(np.float64) ** exponent
    return np.round(np.cumsum(shares) / shares.sum() * DOMAIN).astype(np.uint32)


def search_starts(cumulative: np.ndarray) -> np.ndarray:
    """Where to start the search for a number, by its upper 16 bits: (65,536,) int32."""
    starts = np.arange(1 << (31 - BUCKET_BITS), dtype=np.int64) << BUCKET_BITS
    return np.searchsorted(cumulative, starts, "left").astype(np.int32)


def huffman_tree(counts: np.ndarray) -> HuffmanTree:
    """The Huffman tree of words with descending counts, built with two queues, as in word2vec.c.

    >>> tree = huffman_tree(np.array([5, 2, 1]))
    >>> [tree.codes[tree.paths[w] : tree.paths[w + 1]].tolist() for w in range(3)]
    [[1], [0, 1], [0, 0]]
    """
    size = len(counts)
    parent, side = np.zeros(2 * size - 1, np.int64), np.zeros(2 * size - 1, np.uint8)
    weights = [*counts.tolist(), *([0] * (size - 1))]
    leaf, inner = size - 1, size
    for node in range(size, 2 * size - 1):
        total = 0
        for is_right in (0, 1):
            if leaf >= 0 and (inner >= node or weights[leaf] < weights[inner]):
                child, leaf = leaf, leaf - 1
            else:
                child, inner = inner, inner + 1
            total += weights[child]
            parent[child], side[child] = node, is_right
        weights[node] = total
    return _trace_paths(parent, side, size)


def _trace_paths(parent: np.ndarray, side: np.ndarray, size: int) -> HuffmanTree:
    """Every word's path from the root, from each node's parent and side."""
    root, up, down = 2 * size - 2, parent.tolist(), side.tolist()
    points: list[int] = []
    codes: list[int] = []
    ends = [0]
    for word in range(size):
        path, turns, node = [], [], word
        while node != root:
            turns.append(down[node])
            node = up[node]
            path.append(node - size)
        points += reversed(path)
        codes += reversed(turns)
        ends.append(len(points))
    return HuffmanTree(
        np.array(points, np.int32), np.array(codes, np.uint8), np.array(ends, np.int64)
    )
