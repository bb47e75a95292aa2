"""train: how do weights change: one loop, its services, optimizers, and pre-training on it."""

__all__ = []
