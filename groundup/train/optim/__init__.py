"""Optimizers: rules that move weights, schedules of their rates."""
