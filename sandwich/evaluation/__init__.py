"""What players are worth: matches, agreement, puzzles, the oracle, and what misalignments cost."""
