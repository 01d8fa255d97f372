"""What can be asked for: declared, found, read, checked and written back. No module here imports torch."""
