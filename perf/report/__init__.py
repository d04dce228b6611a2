"""`perf report` and `perf diff`: a run as a page for people, and two runs beside each other."""
