"""What every method and memory policy works with: batches, heads, the learner, its generators."""
