"""Contamination: which test samples occur in training texts?"""
