"""Conversations: who said what to whom, once quotes, signatures and bots are set apart?"""

from .threads import Message, Place, message_of, threads

__all__ = ["Message", "Place", "message_of", "threads"]
