"""Conversations: made from own documents, or read from the files of others and cleaned."""
