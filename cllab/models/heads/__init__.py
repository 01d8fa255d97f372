"""Output layers, one a file: features to a score for every class."""
