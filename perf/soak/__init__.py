"""A long run at a share of the highest rate: what must stay flat is watched, and drawn."""
