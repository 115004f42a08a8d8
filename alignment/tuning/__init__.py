"""Tuning a network toward a brain: losses, readouts, batch normalisation, and the controls a gain is judged by."""
