"""Runs as text, charts, pictures and files for other programs."""
