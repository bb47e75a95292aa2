"""Readers: from files in common formats to records; what cannot be read is rejected with a reason.

`reader.py` has the contract, ../steps.py the table of names; each other file reads one format. A
reader plans (which splits can be read independently) and reads (one split, in order). A bad record
never raises an error; it yields a reject.
"""
