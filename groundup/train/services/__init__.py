"""Services: what happens around training steps, each an iterator over steps that wraps another.

Their order, each with its reason, is the list SERVICES in pretrain/run.py.
"""
