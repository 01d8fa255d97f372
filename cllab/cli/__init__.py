"""The command line: a sub-command a file over the run folders and the catalogue. Never imports torch by itself."""
