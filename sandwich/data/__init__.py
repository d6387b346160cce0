"""Positions and games to learn from and to begin from: corpora, PGN, books of openings, labelled positions."""
