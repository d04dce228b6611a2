"""Open-loop load: when frames are due, where they go, how late their answers are.

`schedule` says when, `frames` what, `target` where; `generator` sends and matches the answers,
`recorder` keeps the latencies from the intended times, `process` runs all of it in a process of
its own, `capacity` looks for the highest rate that holds an objective.
"""
