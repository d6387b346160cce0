"""What the weak player believes: one file per strategy, found by the entry-point group `sandwich.oversight`."""
