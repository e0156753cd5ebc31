"""A whole town that lives for months: all rooms together, in disorder, and its books at the end."""
