"""Artificial misalignments: one file per type, found by the entry-point group `sandwich.misalignments`."""
