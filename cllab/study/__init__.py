"""Experiments made of runs: tables, claims, bounds, tuning, queues."""
