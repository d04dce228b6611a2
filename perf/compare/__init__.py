"""`perf compare`: ours against what a user would otherwise pick, interleaved in one run."""
