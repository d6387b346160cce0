"""The adversary: what a move is worth to a network that plays to lose, and its training."""
