"""Blocks of a paged cache: which are free, who refers to them, and which hold a known prefix.

A sequence's keys and values lie in blocks of equal size, in any order; its table lists them.
Several sequences may refer to one block: beams that share their past, and prompts that begin alike.
A full block whose tokens are computed is published under its tokens and the block before it, so a
later prompt finds the longest chain that it begins with. Lookup compares the tokens themselves,
never a digest alone, and begins at the tenant's salt: nobody can learn what another tenant asked. A
block without references stays published until its place is needed, the least recently used first.
Source: Kwon et al. 2023, arXiv:2309.06180; prefixes: Zheng et al. 2023, arXiv:2312.07104.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from itertools import count

from groundup.core import CapacityError

PrefixKey = tuple[object, tuple[int, ...]]
"""The chain before a block, by its number, or the salt; and the block's tokens."""


class BlockPool:
    """The blocks of one cache."""

    def __init__(
        self, num_blocks: int, block_tokens: int, copy: Callable[[int, int], None]
    ) -> None:
        """Begin with all blocks free; CapacityError without any.

        copy  copies the contents of one block into another
        """
        if num_blocks < 1:
            raise CapacityError(f"A cache of {num_blocks} blocks holds nothing; use 1 or more.")
        self.block_tokens, self.copy = block_tokens, copy
        self.references = [0] * num_blocks
        self.free = OrderedDict.fromkeys(range(num_blocks))
        """Blocks without references, the least recently used first; some are published."""
        self._published: dict[PrefixKey, int] = {}
        self._keys: dict[int, PrefixKey] = {}
        self._chains: dict[int, int] = {}
        """Number of the chain that ends in a published block; never given twice."""
        self._numbers = count()

    @property
    def num_blocks(self) -> int:
        """All blocks, free or not."""
        return len(self.references)

    def allocate(self) -> int | None:
        """A free block with one reference, or None; what it held is forgotten."""
        if not self.free:
            return None
        block, _ = self.free.popitem(last=False)
        self._forget(block)
        self.references[block] = 1
        return block

    def share(self, blocks: Iterable[int]) -> list[int]:
        """Add a reference to each block."""
        blocks = list(blocks)
        for block in blocks:
            self.free.pop(block, None)
            self.references[block] += 1
        return blocks

    def release(self, blocks: Iterable[int]) -> None:
        """Drop a reference to each block of a table; the last ones become free first."""
        for block in reversed(list(blocks)):
            assert self.references[block] > 0, "a block is released once for each reference"
            self.references[block] -= 1
            if not self.references[block]:
                self.free[block] = None

    def own(self, block: int) -> int | None:
        """The block, or a copy if others refer to it too; None if no block is free.

        The reference moves to the copy: copy on write.
        """
        if self.references[block] == 1 and block not in self._keys:
            return block
        copied = self.allocate()
        if copied is not None:
            self.copy(block, copied)
            self.release([block])
        return copied

    def reserve(self, table: list[int], first: int, end: int) -> None:
        """Let a table have the blocks of the tokens first..end, all its own.

        The block that is partly filled is copied if others refer to it. Raises CapacityError if no
        block is free.
        """
        while len(table) * self.block_tokens < end or first % self.block_tokens:
            is_partial = first % self.block_tokens != 0
            block = self.own(table[-1]) if is_partial else self.allocate()
            if block is None:
                raise CapacityError(
                    f"The cache's {self.num_blocks} blocks are all in use; give it more."
                )
            if is_partial:
                table[-1], first = block, 0
            else:
                table.append(block)

    def find_prefix(self, ids: Sequence[int], salt: str = "") -> list[int]:
        """The published blocks that hold the beginning of a prompt, without a reference.

        At least one token is left to compute: without it there would be no logits.
        """
        blocks: list[int] = []
        chain: object = ("salt", salt)
        for start in range(0, len(ids) - self.block_tokens, self.block_tokens):
            key = chain, tuple(ids[start : start + self.block_tokens])
            if (block := self._published.get(key)) is None:
                break
            blocks.append(block)
            chain = self._chains[block]
        return blocks

    def publish(self, table: Sequence[int], ids: Sequence[int], salt: str = "") -> None:
        """Publish the full blocks of a sequence, whose tokens `ids` are all computed."""
        chain: object = ("salt", salt)
        for number, block in enumerate(table[: len(ids) // self.block_tokens]):
            start = number * self.block_tokens
            key = chain, tuple(ids[start : start + self.block_tokens])
            known = self._published.get(key)
            if known is None:
                self._published[key], self._keys[block] = block, key
                self._chains[block] = next(self._numbers)
                known = block
            chain = self._chains[known]

    def _forget(self, block: int) -> None:
        key = self._keys.pop(block, None)
        if key is not None:
            del self._published[key], self._chains[block]

    def check(self, tables: Iterable[Sequence[int]]) -> None:
        """Assert that references and free blocks add up to what these tables refer to."""
        counted = [0] * self.num_blocks
        for table in tables:
            for block in table:
                counted[block] += 1
        assert counted == self.references, "every reference belongs to a table"
        free = {block for block, number in enumerate(counted) if not number}
        assert free == set(self.free), "a block is free if nothing refers to it"
