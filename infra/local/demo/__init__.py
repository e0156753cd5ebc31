"""`make demo`: plays the story against a running stack and prints it as a person would like to read it."""
