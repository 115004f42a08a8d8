"""Data sets: stimuli, responses, splits and ceilings."""
