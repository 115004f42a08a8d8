"""What is measured, on which data, and what is kept."""
