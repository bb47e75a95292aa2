"""Verbs that a description begins with: `Copy the file`, `Copies the file`."""

import re

VERBS = frozenset(
    """
    abort accept acquire activate add adjust align allocate allow analyze annotate append apply
    arrange ask assert assign attach attempt begin bind block break build cache calculate
    call cancel cause change check choose clean cleanup clear clone close collect color combine
    commit compare compile complete compress compute concatenate configure connect consider
    construct consume continue control convert copy count create deactivate debug decode
    decompress decrease define delegate delete describe destroy detach detect determine disable
    disallow discard display divide do double download draw drop dump duplicate echo edit emit
    enable encode encrypt end enforce ensure enter enumerate erase escape establish estimate
    evaluate exclude execute exit expand export extend extract fail feed fetch fill filter
    finalize find finish fire flush follow force fork format free generate get give group guess
    handle hash hide highlight identify ignore implement import include increase increment
    indicate initialize inject insert inspect install instruct interpret invalidate invoke issue
    iterate join keep kill limit link listen load locate lock look lookup make map mark match
    measure merge modify monitor move multiply negate normalize notify obtain omit open optimize
    output override overwrite pack parse pass paste pause perform permit pickle plot poll pop
    populate prepare prepend pretend prevent print process produce prompt protect provide prune
    pull push put query quit quote raise read rebuild receive record recurse reduce reformat
    refresh register release reload remove rename render reopen reorder repeat replace report
    represent request require reserve reset resize resolve respect restart restore restrict
    resume retrieve retry return reverse revert rewrite roll rotate round run save scale scan
    schedule search seek select send separate serialize set shift show shrink shuffle shut
    signal simulate skip sleep sort spawn specify split start stop store strip submit subscribe
    subtract suppress suspend swap switch synchronize take tell terminate test tie toggle touch
    trace track transfer transform translate transmit traverse treat trigger trim truncate try
    turn undo uninstall unlink unlock unpack unregister unset unsubscribe unwrap update upgrade
    upload use validate verify visit wait wake walk warn watch wrap write yield
    """.split()
)
NOUN_PHRASE = re.compile(
    r"\w+ (?!(?:if|whether|what|when|that|how|which|where|all|and|or)\b)\w+ "
    r"(?:can|may|must|will|should|is|are|was|were|has|have)\b"
)
"""A first word that is part of a subject: `Lookup registration can also be done`."""


def is_action(text: str) -> bool:
    """Whether a sentence states what something does, like `Copies the file`."""
    return is_verb(text.partition(" ")[0]) and not NOUN_PHRASE.match(text)


def is_verb(word: str) -> bool:
    """Whether a word is one of these verbs, in the base form or the third person."""
    word = word.lower()
    stems = (word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("ies") + "y")
    return any(stem in VERBS for stem in stems)
