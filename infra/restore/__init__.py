"""`python -m infra.restore`: a table of an earlier time, and what money has done since."""
