"""Networks with time as dynamical systems: spectra, trajectories, perturbations."""
