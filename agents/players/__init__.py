"""Who can play: one file per type, found by the entry-point group `sandwich.players`."""
