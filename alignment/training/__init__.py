"""Supervised training of a classification network: schedule, augmentation, selection, and resumption to the bit."""
