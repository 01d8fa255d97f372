"""Wrong lines, tried one at a time: whether the tests hold the formulas. `python -m tests.mutations`."""
