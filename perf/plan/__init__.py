"""Planning beyond one machine: a queueing simulation fed with costs that were measured.

`clock` (virtual time and shared cores), `worker` (the way of a frame), `scanners` (arrivals),
`unit` (what one worker can take), `fleet` (how many of everything), `costs` (what was measured),
`measure` and `check` (on real stacks, `pinned`; simulated, `replay`), `report` and `command`.
"""
