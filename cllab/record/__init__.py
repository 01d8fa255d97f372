"""What a run says and leaves behind: its records, their fold, its folder. Nothing of a run is ever executed here."""
