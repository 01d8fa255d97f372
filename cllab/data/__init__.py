"""Datasets: one a file, found where users have them, decoded once, kept as uint8 tensors."""
