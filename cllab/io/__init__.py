"""Text and files that come from outside or go there: read with limits, printed without what a terminal would obey."""
