"""What measures the engine, run from the checkout: load tests, objectives. None yet."""
