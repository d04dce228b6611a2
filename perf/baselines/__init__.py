"""The rivals, each written as its own users would at its best settings, in one readable file."""
