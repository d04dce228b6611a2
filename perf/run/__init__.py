"""One load test with a verdict: a scenario of `scenarios.toml` against objectives of `slo.toml`.

`scenarios` and `slo` read the two files, `stack` has what is loaded, `load` runs it and gathers,
`search` looks for the highest rate, `faults` breaks things in the middle, `record` is what a run
gives, `terminal` what is seen of it.
"""
