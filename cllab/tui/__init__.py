"""The terminal app: screens, widgets, themes; it never imports torch."""
