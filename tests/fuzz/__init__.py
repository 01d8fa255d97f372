"""Damage by the thousand, from one seed: `pytest -m slow -n 0 tests/fuzz`; $CLLAB_FUZZ_SEED begins elsewhere."""
