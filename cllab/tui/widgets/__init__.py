"""One widget a file; each draws one thing from a `RunState` and knows nothing of screens."""
