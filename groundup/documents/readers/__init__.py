"""Readers: from files as people keep them to records, what cannot be read named and counted.

`reader.py` has the contract and the table READERS; each other file reads one way of keeping
documents. A reader plans (which pieces can be read alone) and reads (one piece, in order); it never
raises for a bad record, and what it sets aside has a reason.
"""
