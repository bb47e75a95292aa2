"""Conversations: who said what to whom, without quotes, signatures and bots?"""

from .threads import Message, Place, message_of, threads

__all__ = ["Message", "Place", "message_of", "threads"]
