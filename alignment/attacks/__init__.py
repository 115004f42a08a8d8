"""Adversarial attacks, and the judge who believes none of them."""
