"""The next systems in a few lines each, against the contracts: what they need must be there before they come."""
