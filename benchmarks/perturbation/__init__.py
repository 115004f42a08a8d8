"""Perturbation: what a network uses the flows between its layers for."""
