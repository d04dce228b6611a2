"""What was accepted against what was answered, and what could not be done: driven once more."""
