"""Players of every type: how a spec names them, what they answer, and how they travel."""

import math
import pickle
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import chess
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from agents.assistant import Assistant
from agents.checkpoint_files import checkpoints_in
from agents.misalignment.other import Other
from agents.players.assistant import AssistantPlayer
from agents.players.base import REGISTRY, AnyPlayer, Player, describe_player, parse_player
from agents.players.mcts import Mcts
from agents.players.network import Network
from agents.players.stockfish import StockfishPlayer
from agents.players.uci import UciPlayer
from agents.plugins import PluginError
from agents.seat import Seat, Turn
from agents.tools import Tools
from engines import moves, planes
from engines.inference import Evaluation, Evaluator
from engines.network import CheckpointError
from engines.search import TreeSearch
from engines.settings import SpecError
from engines.stockfish import EngineError
from experiments.cli.match import _named
from tests.helpers.checkpoint_records import Spec
from tests.helpers.fakes import Hashed, alone, fake_tools, legal_numbers, pack_board, question
from tests.helpers.project import needs_stockfish, random_games


def boards(count: int, seed: int) -> list[chess.Board]:
    """Positions of random games that are not over."""
    games = random_games(1 + count // 5, seed=seed, plies=80)
    return [board for game in games for board in game[4::13] if any(board.legal_moves)][:count]


def asked(evaluator: Evaluator, some: list[chess.Board]) -> Evaluation:
    """What a player thinks of some positions."""
    return evaluator(np.array([pack_board(board) for board in some]), [legal_numbers(board) for board in some])


# How a spec names them


@pytest.mark.parametrize(
    ("named", "player"),
    [
        ("expert", Network(checkpoint="expert")),
        ("weak", Network(checkpoint="weak")),
        ("runs/a/network.safetensors", Network(checkpoint="runs/a/network.safetensors")),
        ("network", Network()),
        ("network:checkpoint=weak", Network(checkpoint="weak")),
        ("network:checkpoint=a=b", Network(checkpoint="a=b")),
        ("stockfish", StockfishPlayer()),
        ("stockfish:", StockfishPlayer()),
        ("stockfish:nodes=100", StockfishPlayer(nodes=100)),
        ("stockfish:nodes=100,lines=3,temperature=0.1", StockfishPlayer(nodes=100, lines=3, temperature=0.1)),
        ("stockfish: nodes = 100, lines = 3", StockfishPlayer(nodes=100, lines=3)),
        ("mcts:simulations=8,network=weak", Mcts(simulations=8, network="weak")),
        ({"type": "mcts", "exploration": 2}, Mcts(exploration=2)),
        ({"type": "network", "checkpoint": "weak"}, Network(checkpoint="weak")),
        (StockfishPlayer(lines=2), StockfishPlayer(lines=2)),
    ],
)
def test_a_player_is_named_in_short_or_in_full(named: object, player: Player) -> None:
    parsed = parse_player(named)
    assert parsed == player
    assert type(parsed) is type(player)
    assert parse_player(describe_player(parsed)) == player


CHECKPOINTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.sampled_from(["mcts", "stockfish", "network", "mcts:simulations=3", "a:b", "C:/net", "net.yaml", "a,b=c"]),
)
PLAYERS = st.one_of(
    st.builds(Network, checkpoint=CHECKPOINTS),
    st.builds(Mcts, network=CHECKPOINTS, simulations=st.integers(1, 10**6), exploration=st.floats(1e-3, 1e3)),
    st.builds(
        StockfishPlayer, nodes=st.integers(1, 10**9), lines=st.integers(1, 256), temperature=st.floats(1e-6, 1e3)
    ),
    st.builds(
        UciPlayer,
        command=st.sampled_from(["stockfish", "/usr/games/gnuchess --uci", "a 'b c'"]),
        depth=st.integers(1, 99),
        options=st.dictionaries(
            st.sampled_from(["Hash", "Skill Level"]), st.one_of(st.text(max_size=3), st.integers(), st.booleans())
        ),
    ),
)


@given(PLAYERS)
def test_the_description_of_a_player_leads_back_to_it(player: Player) -> None:
    described = describe_player(player)
    assert parse_player(described) == player
    field: TypeAdapter[Player] = TypeAdapter(AnyPlayer)
    assert field.validate_python(field.dump_python(player)) == player


def test_a_network_is_described_by_its_name_alone() -> None:
    assert describe_player(Network(checkpoint="weak")) == "weak"
    assert describe_player(Mcts()) == {"type": "mcts", "network": "expert", "simulations": 64, "exploration": 1.5}


KNOWN = "assistant, filtered, mcts, network, stockfish, uci"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (
            "stokfish:nodes=1",
            "type: unknown player 'stokfish:nodes=1'; did you mean stockfish? "
            "known: expert, weak, adversary, the path of a checkpoint,"
            f" or TYPE:key=value,… with a TYPE of {KNOWN}",
        ),
        ("stockfish:nodes", "type: expected stockfish:key=value,…, got 'stockfish:nodes'"),
        ("stockfish:nodes=1,", "type: expected stockfish:key=value,…, got 'stockfish:nodes=1,'"),
        ("stockfish:nodes=few", "nodes: expected a whole number"),
        ("stockfish:nodes=0", "nodes: expected at least 1, got 0"),
        ("stockfish:lines=257", "lines: expected at most 256, got 257"),
        ("stockfish:temperature=0", "temperature: expected more than 0"),
        ("stockfish:nodes=[1", "nodes: '[1' is not a YAML value"),
        ("stockfish:nodes=1,nodes=2", "nodes: stands twice in 'stockfish:nodes=1,nodes=2'"),
        ("stockfish:depth=9", "depth: unknown key; known here: nodes, lines, temperature"),
        ("mcts:simulations=0", "simulations: "),
        ("mcts:network=null", "network: "),
        ({"type": "mtcs"}, f"type: unknown player 'mtcs'; did you mean mcts? known: {KNOWN}"),
        ({"nodes": 5}, f"type: expected a mapping with a type, got {{'nodes': 5}}; known types: {KNOWN}"),
        (5, "type: expected a mapping with a type, got 5"),
        (None, "type: expected a mapping with a type, got None"),
    ],
)
def test_what_names_no_player_is_refused_in_one_line_that_says_what_is_known(named: object, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_player(named)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_is_not_there_is_told_when_it_is_opened(tmp_path: Path) -> None:
    with Tools() as tools, pytest.raises(CheckpointError) as caught:
        tools.player(Network(checkpoint=str(tmp_path / "none")))
    assert str(caught.value) == f"no such file: {tmp_path / 'none'}"


# What they answer


def test_a_network_and_its_search_answer_as_the_network_and_the_search_do(tools: Tools) -> None:
    some = boards(8, seed=1)
    bare, searching = asked(tools.player(Network(checkpoint="weak")), some), TreeSearch(Hashed("expert"), 9, 2.0)
    expected = asked(searching, some)
    found = asked(tools.player(Mcts(simulations=9, exploration=2.0)), some)
    for row, board in enumerate(some):
        policy, value = alone(Hashed("weak"), board)
        assert np.array_equal(bare.policy[row], policy)
        assert bare.value[row] == pytest.approx(value)
        assert np.array_equal(found.policy[row], expected.policy[row])
    assert np.array_equal(found.wdl, expected.wdl)


class Twin(Player):
    """A player of one's own."""

    value: float = 0.5
    """What it thinks of everything."""

    def open(self, tools: Tools) -> Evaluator:
        return Hashed(f"twin {self.value}")


Other_Twin = type("Twin", (Twin,), {"open": lambda self, tools: Hashed(f"other twin {self.value}")})


def test_players_are_opened_once_and_not_taken_for_each_other(tools: Tools) -> None:
    assert tools.player(Twin()) is tools.player(Twin())
    assert tools.player(Twin()) is not tools.player(Twin(value=0.25))
    assert tools.network("weak") is tools.player(Network(checkpoint="weak"))
    other = asked(tools.player(Other_Twin()), boards(3, seed=2))  # another class of the same name and settings
    assert np.array_equal(other.wdl, asked(Hashed("other twin 0.5"), boards(3, seed=2)).wdl)


@needs_stockfish
@pytest.mark.parametrize("nodes", [1, 50, 1500])
def test_stockfish_plays_the_move_that_the_engine_plays(tools: Tools, nodes: int) -> None:
    some = boards(12, seed=2)
    seen = asked(tools.player(StockfishPlayer(nodes=nodes)), some)
    engine = tools.stockfish()
    for row, board in enumerate(some):
        engine.clear()
        (line,) = engine.analyse(board.fen(), nodes=nodes)
        assert moves.uci(seen.best(row), board) == line.move
        assert seen.value[row] == pytest.approx(line.expected_score, abs=1e-6)
        assert sorted(seen.policy[row])[-2:] == [0, 1] or len(seen.policy[row]) == 1


@needs_stockfish
@pytest.mark.parametrize("lines", [2, 5, 256])
def test_stockfish_spreads_its_policy_over_its_lines(tools: Tools, lines: int) -> None:
    some = [*boards(10, seed=3), chess.Board("6k1/8/8/8/8/6p1/6Pr/7K w - - 0 1")]  # one legal move in the last
    player = StockfishPlayer(nodes=400, lines=lines, temperature=0.05)
    seen = asked(tools.player(player), some)
    engine = tools.stockfish()
    for row, board in enumerate(some):
        engine.clear()
        found = engine.analyse(board.fen(), nodes=400, multipv=lines)
        policy = seen.policy[row]
        assert policy.dtype == np.float32
        assert policy.min() >= 0
        assert float(policy.sum()) == pytest.approx(1, abs=1e-5)
        assert int((policy > 0).sum()) <= min(lines, len(policy))
        assert moves.uci(seen.best(row), board) == found[0].move
        if len(found) > 1:
            second = policy[seen.legal[row].index(moves.encode(chess.Move.from_uci(found[1].move), board.turn))]
            odds = np.exp((min(found[1].expected_score, found[0].expected_score) - found[0].expected_score) / 0.05)
            assert second / policy.max() == pytest.approx(odds, rel=1e-2, abs=1e-6)
    assert np.allclose(seen.wdl.sum(1), 1, atol=1e-5)
    assert (seen.wdl >= 0).all()


@needs_stockfish
@pytest.mark.parametrize("fen", ["7k/8/5K2/8/8/8/8/1Q6 w - - 0 1", "1q6/8/8/8/8/5k2/8/7K b - - 0 1"])
def test_of_many_mates_stockfish_plays_the_one_that_the_engine_plays(tools: Tools, fen: str) -> None:
    """All of them count for the same; a player that took any of them might never mate."""
    board = chess.Board(fen)
    evaluator = tools.player(StockfishPlayer(nodes=3000, lines=30))
    for _ in range(8):
        if board.is_checkmate():
            return
        seen = asked(evaluator, [board])
        assert int((seen.policy[0] > 0).sum()) > 1 or board.legal_moves.count() == 1
        board.push(moves.decode(seen.best(0), board))
    pytest.fail("not mated in four moves")


@needs_stockfish
def test_stockfish_answers_the_same_whatever_it_was_asked_before() -> None:
    some = boards(8, seed=4)
    with fake_tools() as one, fake_tools() as other:
        player = StockfishPlayer(nodes=700, lines=3)
        first = asked(one.player(player), some)
        again = asked(one.player(player), some[::-1])
        elsewhere = asked(other.player(player), some[3:5])
    for row in range(8):
        assert np.array_equal(first.policy[row], again.policy[7 - row])
        assert np.array_equal(first.wdl[row], again.wdl[7 - row])
    for row in (0, 1):
        assert np.array_equal(first.policy[3 + row], elsewhere.policy[row])


@needs_stockfish
def test_the_engine_ends_with_the_tools() -> None:
    with fake_tools() as tools:
        asked(tools.player(StockfishPlayer(nodes=10)), [chess.Board()])
        engine = tools.stockfish()
        assert engine.pid is not None
        assert tools.serving(Hashed("expert")).stockfish() is engine  # one process for all
    assert engine.pid is None


def test_tools_of_no_assistant_have_no_base(tools: Tools) -> None:
    with pytest.raises(ValueError, match="^these tools belong to no assistant: they have no base$"):
        _ = tools.base
    base = Hashed("expert")
    assert tools.serving(base).base is base


# Players that fail


class Frail(Player):
    """Fails when it is opened, or later."""

    early: Any = None
    """Raised when it is opened."""
    late: Any = None
    """Raised when it is asked, or what it answers then."""

    def open(self, tools: Tools) -> Evaluator:
        if self.early:
            raise self.early

        def evaluate(packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
            if isinstance(self.late, Exception):
                raise self.late
            return cast(Evaluation, self.late)

        return evaluate


HERE = r"\(\S*test_players\.py, line \d+\)"
"""Where an exception of these players is told to be from."""


@pytest.mark.parametrize(
    ("player", "message"),
    [
        (Frail(early=LookupError("no\nidea")), f"LookupError: no idea {HERE}"),
        (Frail(late=LookupError("no\nidea")), f"LookupError: no idea {HERE}"),
        (Frail(), "ValueError: expected an Evaluation of 3 positions, got NoneType"),
        (
            Frail(late=asked(Hashed("any"), boards(2, 1))),
            "ValueError: expected an Evaluation of 3 positions, got one of 2",
        ),
        (AssistantPlayer(base=Frail(late=LookupError("no idea"))), f"LookupError: no idea {HERE}"),
    ],
)
def test_a_player_that_fails_is_told_with_its_name_in_one_line(player: Player, message: str) -> None:
    with fake_tools() as tools, pytest.raises(PluginError) as caught:
        asked(tools.player(player), boards(3, seed=1))
    assert re.fullmatch(rf"player \S*Frail: {message}", str(caught.value))


@pytest.mark.parametrize(
    ("policy", "wdl", "message"),
    [
        (np.full(1858, 1 / 1858), np.ones((1, 3)) / 3, "expected a policy of shape (1,), got (1858,)"),
        ([1.0], np.ones((1, 3)) / 3, "expected a policy of shape (1,), got list"),
        (np.array([math.nan]), np.ones((1, 3)) / 3, "expected a policy of finite numbers, got nan"),
        (np.ones(1), np.ones((1, 2)) / 2, "expected wdl of shape (1, 3), got (1, 2)"),
        (np.ones(1), np.array([[math.inf, 0, 0]]), "expected wdl of finite numbers, got inf"),
        (np.zeros(1), np.ones((1, 3)) / 3, "expected a policy that sums to 1, got a sum of 0"),
        (-np.ones(1), np.ones((1, 3)) / 3, "expected a policy without a number below 0, got -1.0"),
        (np.ones(1, int), np.ones((1, 3)) / 3, "expected a policy of floating-point numbers, got int64"),
        (np.ones(1), np.array([[0.9, 0.9, 0.2]]), "expected wdl that sums to 1, got a sum of 2"),
        (np.ones(1), np.array([[1.5, -0.5, 0]]), "expected wdl without a number below 0, got -0.5"),
    ],
)
def test_an_evaluation_that_cannot_be_is_told_with_the_players_name(policy: Any, wdl: Any, message: str) -> None:
    forced = chess.Board("8/8/8/8/8/8/r7/k6K w - - 0 1")  # one legal move
    player = Frail(late=Evaluation([legal_numbers(forced)], [policy], wdl))
    with (
        fake_tools() as tools,
        pytest.raises(PluginError, match=rf"^player \S*Frail: ValueError: {re.escape(message)}$"),
    ):
        asked(tools.player(player), [forced])


@pytest.mark.parametrize("error", [EngineError("a"), CheckpointError("b"), SpecError("c"), PluginError("d")])
@pytest.mark.parametrize("when", ["early", "late"])
def test_what_is_told_in_one_line_anyway_passes_through_a_player(error: Exception, when: str) -> None:
    with fake_tools() as tools, pytest.raises(type(error)) as caught:
        asked(tools.player(Frail(**{when: error})), boards(3, seed=1))
    assert caught.value is error


def test_a_misalignment_is_not_blamed_for_the_player_that_it_asks() -> None:
    other = Other(p=1, player=Frail(late=LookupError("no idea")))
    with fake_tools() as tools, pytest.raises(PluginError, match=rf"^player \S*Frail: LookupError: no idea {HERE}$"):
        Assistant(Hashed("expert"), other, tools).answer([question(chess.Board())], [np.random.default_rng(0)])


def test_the_moves_of_an_evaluation_are_those_that_were_asked_about() -> None:
    forced = chess.Board("8/8/8/8/8/8/r7/k6K w - - 0 1")
    said = Evaluation([[5]], [np.ones(1, np.float32)], np.full((1, 3), 1 / 3, np.float32))
    with fake_tools() as tools:
        assert asked(tools.player(Frail(late=said)), [forced]).best(0) == legal_numbers(forced)[0]


class Sitting(Frail):
    """Answers at the board what it is told to."""

    says: Any

    def seat(self, tools: Tools, temperature: float = 0.0) -> Seat:
        return self

    def choose(self, turns: Sequence[Turn], rngs: Sequence[np.random.Generator]) -> list[int]:
        return cast(list[int], self.says)


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ([-5], "the move -5 is not legal; expected one of "),
        (["e2e4"], "the move 'e2e4' is not legal; expected one of "),
        ([], "expected 1 moves, got 0"),
        (None, "expected 1 moves, got a NoneType"),
    ],
)
def test_a_move_that_a_player_cannot_make_is_told_with_its_name(says: Any, message: str) -> None:
    board = chess.Board()
    turn = Turn(np.array(planes.pack(board), np.uint64), legal_numbers(board), 0, 0)
    with fake_tools() as tools, pytest.raises(PluginError, match=rf"^player \S*Sitting: ValueError: {message}"):
        Sitting(says=says).seated(tools).choose([turn], [np.random.default_rng(0)])


def test_a_search_stays_a_search_behind_an_assistant(tools: Tools) -> None:
    assert isinstance(tools.player(AssistantPlayer(base=Mcts(simulations=3))), TreeSearch)


# How they travel

PLUGINS = '''
"""Plugins in a file beside a spec."""

from typing import Any

from agents.misalignment.base import Misalignment
from agents.players.base import AnyPlayer, Player


class Champion(Player):
    """Plays as another player."""

    like: AnyPlayer
    """Which."""

    def open(self, tools):
        return tools.player(self.like)


class Grudge(Misalignment):
    """Lets somebody else answer."""

    to: AnyPlayer
    """Whom."""
    seen: tuple[int, ...] = (1, 2)
    """Something else."""

    def corrupt(self, queries, honest, rngs, tools):
        return honest
'''
LISTEN = """
import pickle, sys
for plugin in pickle.load(sys.stdin.buffer):
    print(type(plugin).__name__, plugin.model_dump_json())
    assert pickle.loads(pickle.dumps(plugin)) == plugin
"""


def test_plugins_from_a_file_beside_a_spec_are_unpickled_where_there_is_no_such_file(
    tmp_path: Path, root: Path
) -> None:
    (tmp_path / "beside.py").write_text(PLUGINS)
    settings = {
        "player": {"type": "beside:Champion", "like": {"type": "beside:Champion", "like": "mcts:simulations=3"}},
        "misalignment": {"type": "beside:Grudge", "to": "weak", "seen": [3]},
    }
    spec = Spec.model_validate(settings, context={"folder": tmp_path})
    assert checkpoints_in(spec) == {"start", "expert", "weak"}
    (tmp_path / "beside.py").unlink()
    plugins: list[Any] = [spec.player, spec.misalignment]
    assert pickle.loads(pickle.dumps(plugins)) == plugins
    told = subprocess.run(
        [sys.executable, "-c", LISTEN],
        input=pickle.dumps(plugins),
        capture_output=True,
        cwd=root,
        timeout=100,
        check=True,
    ).stdout.decode()
    assert told.splitlines() == [f"{type(plugin).__name__} {plugin.model_dump_json()}" for plugin in plugins]


@given(PLAYERS)
def test_installed_players_survive_pickling(player: Player) -> None:
    assert pickle.loads(pickle.dumps(player)) == player


def test_every_installed_player_can_be_made_without_settings_but_an_engine_and_a_filter() -> None:
    for name in set(REGISTRY.entries) - {"uci", "filtered"}:
        assert REGISTRY.describe(REGISTRY.parse({"type": name}))["type"] == name


def test_an_assistant_lies_at_random_where_no_type_is_given() -> None:
    assert parse_player("assistant:misalignment.p=0.5") == parse_player(
        "assistant:misalignment.type=random_move,misalignment.p=0.5"
    )
    with pytest.raises(SpecError, match="strength: unknown key; known here: p"):
        parse_player("assistant:misalignment.strength=0.5")


@pytest.mark.parametrize("name", ["elo=2000/w.safetensors", "a:b/w.safetensors", "network:x/w.safetensors"])
def test_a_file_that_is_there_is_a_checkpoint_whatever_is_in_its_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir()
    Path(name).write_bytes(b"")
    player = parse_player(name)
    assert player == Network(checkpoint=name)
    assert parse_player(describe_player(player)) == player
    assert _named(name) == (name, player)
    assert _named(f"weak={name}") == ("weak", player)
