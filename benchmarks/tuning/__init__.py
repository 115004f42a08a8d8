"""Tuning toward responses without forgetting: what is run, what it is held against, and what became of it."""
