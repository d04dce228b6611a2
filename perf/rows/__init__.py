"""The rows of `perf compare`: what is compared, and how the results are checked to be the same."""
