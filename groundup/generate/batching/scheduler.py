"""The scheduler: which tokens of which sequences does the next step compute?

A step has one budget of tokens. Sequences that decode go first, one token each and what they
drafted; prompts share the rest, in chunks; then waiting sequences are admitted while blocks, budget
and places last. If a running sequence needs a block and none is free, the last in rank is
pre-empted: its blocks are released and it waits again, to be computed anew; what it published is
mostly still there. Rank is priority, then arrival; every `aging` steps of waiting count as one of
priority, so nobody waits forever. The queue is bounded.
Source: Yu et al. 2022 (Orca); chunked prefill: Agrawal et al. 2023, arXiv:2308.16369.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from groundup.core import CapacityError, ConfigError

from ..sampling import TokenSampler
from .blocks import BlockPool
from .speculative import Drafter


class SchedulerLimits(NamedTuple):
    """How much a step computes, and how many sequences there may be."""

    token_budget: int = 512
    """Tokens of a step: more share each read of the weights, fewer delay the others less."""
    max_running: int = 256
    max_waiting: int = 100_000
    """Sequences that wait at most; more are refused."""
    aging: int = 200
    """Steps of waiting that count as one of priority."""


DEFAULT_LIMITS = SchedulerLimits()
GONE = 0
"""Stands in a table for a block before the window, which is never read."""


@dataclass(eq=False)
class DecodingSequence:
    """A prompt, its answer so far, and where their keys and values are."""

    number: int
    ids: list[int]
    """Prompt and answer."""
    sampler: TokenSampler
    priority: int = 0
    """Smaller is sooner."""
    salt: str = ""
    """Prefixes are shared among sequences of one salt only."""
    source: Sequence[int] | None = None
    waits_since: int | None = None
    """Step since which it waits; None: it runs."""
    table: list[int] = field(default_factory=list)
    """Its blocks."""
    dropped: int = 0
    """First blocks of the table that lie before the window and are held no more."""
    published: int = 0
    """First blocks of the table that other prompts can find."""
    computed: int = 0
    """Tokens whose keys and values are in the blocks."""
    drafter: Drafter | None = None
    draft: list[int] = field(default_factory=list)
    """Tokens that may follow, to be verified in the next step."""
    preemptions: int = 0
    shared: int = 0
    """Tokens that were found computed when it was admitted last."""

    @property
    def pending(self) -> int:
        """Tokens to compute before the next one can be chosen, drafted ones included."""
        return len(self.ids) + len(self.draft) - self.computed

    @property
    def is_decoding(self) -> bool:
        """Whether all but the newest token are computed."""
        return len(self.ids) - self.computed == 1


class Chunk(NamedTuple):
    """Tokens of a sequence that a step computes: the next `count` ones."""

    sequence: DecodingSequence
    count: int

    @property
    def is_last(self) -> bool:
        """Whether the next token can be chosen after it."""
        return self.count >= len(self.sequence.ids) - self.sequence.computed


class Scheduler:
    """Decides what each step computes, and owns the blocks' tables."""

    def __init__(
        self, pool: BlockPool, limits: SchedulerLimits = DEFAULT_LIMITS, *, chunks: bool = True,
        window: int = 0,
    ) -> None:  # fmt: skip
        """Begin with nothing to do; ConfigError for limits below 1.

        chunks  whether a prompt may be computed in parts, which a prefix LM's may not
        window  tokens that every layer sees at most, whose blocks alone are held; 0: all
        """
        for name, value in limits._asdict().items():
            if value < 1:
                raise ConfigError(f"SchedulerLimits.{name}={value} allows no step; use 1 or more.")
        self.pool, self.limits, self.chunks, self.window = pool, limits, chunks, window
        self.waiting: dict[int, deque[DecodingSequence]] = {}
        """By priority, in order of arrival."""
        self.running: list[DecodingSequence] = []
        self.step = 0

    def add(self, sequence: DecodingSequence, longest: int) -> None:
        """Let a sequence wait.

        longest  its tokens when the answer is as long as it may be

        Raises CapacityError if it can never fit, or if too many wait.
        """
        if self._blocks_of(longest) > self.pool.num_blocks:
            raise CapacityError(
                f"A sequence of {longest} tokens needs {self._blocks_of(longest)} blocks and the "
                f"cache has {self.pool.num_blocks}; give it more or lower max_tokens."
            )
        if (count := sum(map(len, self.waiting.values()))) >= self.limits.max_waiting:
            raise CapacityError(f"{count} requests wait already; try again later.")
        sequence.waits_since = self.step
        self.waiting.setdefault(sequence.priority, deque()).append(sequence)

    def schedule(self) -> list[Chunk]:
        """The chunks of the next step; empty only if there is nothing to do."""
        self.step += 1
        self._make_room()
        plan: list[Chunk] = []
        budget = self.limits.token_budget
        ranked = sorted(self.running, key=self._rank)
        for sequence in sorted(ranked, key=lambda each: not each.is_decoding):
            count = self._count(sequence, budget, is_first=not plan)
            if count and sequence in self.running and self._reserve(sequence, count, plan):
                needed = len(sequence.ids) - sequence.computed
                sequence.draft = sequence.draft[: max(0, count - needed)]
                plan.append(Chunk(sequence, count))
                budget -= count
        while budget > 0 and len(self.running) < self.limits.max_running:
            sequence = self._first_waiting()
            if sequence is None or (count := self._admit(sequence, budget, plan)) == 0:
                break  # later ones do not overtake it
            plan.append(Chunk(sequence, count))
            budget -= count
        return plan

    def finish(self, sequence: DecodingSequence) -> None:
        """Release a sequence, whether it runs or waits: it has ended or was aborted."""
        self._release(sequence)
        is_running = sequence.waits_since is None
        (self.running if is_running else self.waiting[sequence.priority]).remove(sequence)

    def truncate(self, sequence: DecodingSequence) -> None:
        """Release the blocks behind a sequence's last computed token, and before its window."""
        kept = self._blocks_of(sequence.computed)
        self.pool.release(sequence.table[kept:])
        del sequence.table[kept:]
        if self.window:
            behind = max(0, sequence.computed - self.window + 1) // self.pool.block_tokens
            dropped = sequence.table[sequence.dropped : behind]
            self.pool.release(dropped)
            sequence.table[sequence.dropped : behind] = [GONE] * len(dropped)
            sequence.dropped = max(sequence.dropped, behind)

    def publish(self, sequence: DecodingSequence) -> None:
        """Let other prompts find what is computed of a sequence."""
        full = sequence.computed // self.pool.block_tokens
        if full > sequence.published and not sequence.dropped:
            self.pool.publish(sequence.table, sequence.ids[: sequence.computed], sequence.salt)
            sequence.published = full

    def _first_waiting(self) -> DecodingSequence | None:
        heads = (queue[0] for queue in self.waiting.values() if queue)
        return min(heads, key=self._rank, default=None)

    def _rank(self, sequence: DecodingSequence) -> tuple[int, int]:
        return sequence.priority - self._waited(sequence), sequence.number

    def _waited(self, sequence: DecodingSequence) -> int:
        """What a sequence's waiting is worth in priority."""
        since = self.step if sequence.waits_since is None else sequence.waits_since
        return (self.step - since) // self.limits.aging

    def _blocks_of(self, tokens: int) -> int:
        return -(-tokens // self.pool.block_tokens)

    def _count(self, sequence: DecodingSequence, budget: int, *, is_first: bool) -> int:
        """Tokens of a sequence that fit the budget; drafted ones are dropped before others."""
        needed = len(sequence.ids) - sequence.computed
        if not self.chunks and needed > budget:
            return needed if is_first else 0
        return min(sequence.pending, budget)

    def _admit(self, sequence: DecodingSequence, budget: int, plan: Sequence[Chunk]) -> int:
        """Start a waiting sequence; the number of its first tokens, or 0 if it must wait on."""
        if self._is_being_computed(sequence):
            return 0
        sequence.table = self.pool.share(self.pool.find_prefix(sequence.ids, sequence.salt))
        sequence.computed = sequence.shared = len(sequence.table) * self.pool.block_tokens
        count = self._count(sequence, budget, is_first=not plan)
        if count and self._reserve(sequence, count, plan):
            self.waiting[sequence.priority].remove(sequence)
            sequence.priority -= self._waited(sequence)  # so that it is not pre-empted at once
            sequence.waits_since = None
            self.running.append(sequence)
            return count
        self._release(sequence)
        return 0

    def _is_being_computed(self, sequence: DecodingSequence) -> bool:
        """Whether a running prompt computes a block that this one begins with, which then waits."""
        size, known = self.pool.block_tokens, None
        for other in self.running:
            if other.is_decoding or other.salt != sequence.salt:
                continue
            if known is None:
                known = size * len(self.pool.find_prefix(sequence.ids, sequence.salt))
            end = known + size
            if (
                other.ids[:end] == sequence.ids[:end]
                and min(len(other.ids), len(sequence.ids)) > end
            ):
                return True
        return False

    def _reserve(self, sequence: DecodingSequence, count: int, plan: Sequence[Chunk]) -> bool:
        """Give a sequence the blocks of its next tokens, all its own; False if it must wait."""
        first = sequence.computed // self.pool.block_tokens
        needed = range(first, self._blocks_of(sequence.computed + count))
        for number in needed:
            is_new = number == len(sequence.table)
            while True:
                block = self.pool.allocate() if is_new else self.pool.own(sequence.table[number])
                if block is not None:
                    break
                if not self._preempt_for(sequence, plan):
                    return False
            if is_new:
                sequence.table.append(block)
            else:
                sequence.table[number] = block
        return True

    def _preempt_for(self, sequence: DecodingSequence, plan: Sequence[Chunk]) -> bool:
        """Free the blocks of the running sequence that is last in rank, if it is behind this one.

        If none is, a running sequence gives its own blocks up.
        """
        if sequence.waits_since is not None:
            return False
        planned = {chunk.sequence.number for chunk in plan}
        behind = [
            each for each in self.running
            if each.number not in planned and self._rank(each) > self._rank(sequence)
        ]  # fmt: skip
        victim = max(behind, key=self._rank, default=sequence)
        self._preempt(victim)
        return victim is not sequence

    def _make_room(self) -> None:
        """Pre-empt sequences of lower priority for the first that waits."""
        first = self._first_waiting()
        if first is None:
            return
        needed = self._blocks_of(min(len(first.ids), self.limits.token_budget))
        while len(self.running) >= self.limits.max_running or len(self.pool.free) < needed:
            behind = [each for each in self.running if each.priority > first.priority]
            if not behind:
                return
            self._preempt(max(behind, key=self._rank))

    def _preempt(self, victim: DecodingSequence) -> None:
        self._release(victim)
        victim.preemptions += 1
        victim.waits_since = self.step
        self.running.remove(victim)
        self.waiting.setdefault(victim.priority, deque()).appendleft(victim)

    def _release(self, sequence: DecodingSequence) -> None:
        self.pool.release(sequence.table[sequence.dropped :])
        sequence.table, sequence.draft = [], []
        sequence.computed = sequence.dropped = sequence.published = 0
