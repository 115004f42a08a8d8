"""Similarity of representations: measures that compare a layer with the brain without predicting single neuroids."""
