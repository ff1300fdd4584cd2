"""What keeping costs: the stores beside each other in one run. `python -m bench.store`."""
