"""What to keep of the past, one policy a file."""
