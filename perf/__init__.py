"""What measures the engine: load tests, objectives, comparisons. Runs from the checkout; none yet."""
