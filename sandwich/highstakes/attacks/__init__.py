"""Attacks on the blunder filter, one file each, found by the entry-point group `sandwich.attacks`."""
