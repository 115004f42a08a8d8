"""How to measure and how to align: arrays, networks, statistics. Reads no settings, writes no results."""
