"""cllab: an interactive continual-learning lab in the terminal."""

__version__ = "0.1.0"
