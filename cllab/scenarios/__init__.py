"""Scenarios: ways of turning a dataset into a stream of tasks, one a file."""
