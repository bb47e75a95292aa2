"""Conversations: who said what to whom, without quotes, signatures and bots?"""

from .threads import ThreadMessage, ThreadPosition, build_threads, extract_message

__all__ = [
    "ThreadMessage",
    "ThreadPosition",
    "build_threads",
    "extract_message",
]
