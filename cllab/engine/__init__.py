"""The training loop and what runs around it."""
