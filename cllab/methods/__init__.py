"""Continual-learning methods, one a file."""
