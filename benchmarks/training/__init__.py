"""Training networks for their task, so that there are weights to score: what is trained how, and where it is kept."""
