"""Data of those who come from another system, from CSV files: looked at first, then written, each line once."""
