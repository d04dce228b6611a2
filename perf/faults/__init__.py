"""Faults in the middle of a load: what dies, for how long, and what became of the frames."""
