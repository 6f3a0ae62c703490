"""Faults that real runs meet, injected; `make faults` runs all of them."""
