"""The recurrent network of Thorat, Aldegheri & Kietzmann 2021: flows between layers over a few sweeps of one image."""
