"""One screen a file; each is constructed without arguments and finds what it needs on the app."""
