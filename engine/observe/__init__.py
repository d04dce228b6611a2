"""What a process shows of itself: metrics, health and readiness, traces. See `docs/metrics.md`.

`table` names every metric; `instruments` makes them; `worker`, `gateway` and `series` say what each
role notes and when; `endpoint` serves them over HTTP, `health` answers the probes, `spans` sends
traces. Nothing here may harm a frame: what fails is logged, and the frame goes on.
"""
