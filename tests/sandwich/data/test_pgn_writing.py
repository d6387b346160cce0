"""PGN that is written: lines of at most 80 characters, and the same game when it is read again."""

import io

import chess.pgn

from sandwich.data.pgn_writing import pgn_text

SHORT = "own Nf3; refused"
LONG = "; ".join(f"advised Nf{n}" for n in range(40)) + " [%eval 0.25] [%cal Ga1a2, Gb1b2]"


def test_comments_of_any_length_are_wrapped_and_read_back() -> None:
    game = chess.pgn.Game()
    node: chess.pgn.GameNode = game
    for number, move in enumerate(["e2e4", "e7e5", "g1f3", "b8c6"] + ["f1e2", "f8e7", "e2f1", "e7f8"] * 20):
        node = node.add_variation(chess.Move.from_uci(move))
        node.comment = (SHORT, LONG, "")[number % 3]
    text = pgn_text(game)
    assert max(map(len, text.splitlines())) <= 80
    read = chess.pgn.read_game(io.StringIO(text))
    assert read is not None
    assert not read.errors
    assert list(read.mainline_moves()) == list(game.mainline_moves())
    comments = [" ".join(node.comment.split()) for node in read.mainline()]
    assert comments == [node.comment for node in game.mainline()]
