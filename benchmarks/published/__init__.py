"""Published curves beside one's own: which suites have them, and where they are read from."""
