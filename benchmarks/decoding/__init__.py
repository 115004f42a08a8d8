"""Decoding: what a linear read-out can tell of images from each layer at each time_bin."""
