"""Games as environments of Gymnasium: the same rules, and what a learner may count on."""

import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env

import sandwich
from agents.assistant import Assistant
from agents.misalignment.random_move import RandomMove
from agents.tools import Tools
from engines import moves
from engines.settings import SpecError
from sandwich.oversight.deliberation import Action, ExternalDeliberation
from sandwich.oversight.trust import Trust
from sandwich.protocol.selfplay import Block, BlockPlay, play_episodes
from sandwich.rl.environments import FORFEIT, NO_MOVE, ChessEnv, OversightEnv
from sandwich.runtime.networks import InferenceConfig
from sandwich.spec.run_spec import PlayConfig
from tests.helpers.fakes import Even, Hashed
from tests.helpers.small_players import MATES, checkpoint, openings

OVERSIGHT, CHESS = sandwich.ENVIRONMENTS
BARE = "8/8/4k3/8/8/3pK3/8/8 w - - 0 1"
"""Once the pawn is taken it is a draw; else the game goes on for longer than these tests do."""


@pytest.fixture(scope="module")
def players(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths of two small networks: a student and an assistant's honest self."""
    folder = tmp_path_factory.mktemp("players")
    for name, seed in (("weak", 1), ("expert", 2)):
        (folder / f"{name}.safetensors").write_bytes(checkpoint(seed))
    return {name: str(folder / f"{name}.safetensors") for name in ("weak", "expert")}


@pytest.fixture
def oversight(players: dict[str, str]) -> dict[str, Any]:
    """Settings of short games with small networks."""
    return {
        "student": players["weak"],
        "assistant": {"base": players["expert"], "misalignment": {"type": "random_move", "p": 0.5}},
        "play": {"ply_cap": 12},
        "openings": openings(40)[len(MATES) :],
    }


@pytest.fixture
def plain(players: dict[str, str]) -> dict[str, Any]:
    """The same for plain games."""
    return {"opponent": players["weak"], "ply_cap": 12, "openings": openings(40)[len(MATES) :]}


def choose(info: dict[str, Any], rng: np.random.Generator) -> np.int64:
    return np.int64(rng.choice(np.flatnonzero(info["action_mask"])))


def played_out(env: Any, seed: int) -> tuple[list[Any], float, dict[str, Any]]:
    """A game by random allowed actions: its observations, the sum of its rewards, and what is told at the end."""
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    seen, total, over, truncated = [observation], 0.0, False, False
    while not (over or truncated):
        observation, reward, over, truncated, info = env.step(choose(info, rng))
        assert truncated == (info.get("end") == "ply cap")
        assert not (over and truncated)
        assert env.observation_space.contains(observation)
        seen, total = [*seen, observation], total + reward
    return seen, total, info


@pytest.mark.filterwarnings("ignore:.*render_fps.*")
def test_both_pass_gymnasiums_own_check(oversight: dict[str, Any], plain: dict[str, Any]) -> None:
    for name, settings in ((OVERSIGHT, oversight), (CHESS, plain)):
        env = gymnasium.make(name, **settings)
        check_env(env.unwrapped)
        env.close()


def test_an_id_that_names_the_package_needs_no_import(plain: dict[str, Any]) -> None:
    assert isinstance(gymnasium.make(f"sandwich:{CHESS}", **plain).unwrapped, ChessEnv)


def test_the_same_seed_gives_the_same_game_and_another_seed_another(
    oversight: dict[str, Any], plain: dict[str, Any]
) -> None:
    for env in (OversightEnv(**oversight), ChessEnv(**plain)):
        first, again, other = (played_out(env, seed) for seed in (1, 1, 2))
        np.testing.assert_equal(first[0], again[0])
        assert first[1:2] == again[1:2]
        assert len(first[0]) != len(other[0]) or not all(
            np.array_equal(a["planes"] if isinstance(a, dict) else a, b["planes"] if isinstance(b, dict) else b)
            for a, b in zip(first[0], other[0], strict=True)
        )


def test_who_believes_everything_plays_the_games_of_trust() -> None:
    weak = Hashed("weak")
    assistant = Assistant(Hashed("expert"), RandomMove(p=0.5), Tools())

    def block(strategy: Any) -> Block:
        return Block(3, 0, 0, openings(12), PlayConfig(ply_cap=14), RandomMove(p=0.5), strategy, InferenceConfig())

    games = BlockPlay(weak, [assistant], block(ExternalDeliberation()))
    games.start()
    while games.pending:
        games.resume([Action.ADVICE] * len(games.pending))
    assert games.played is not None
    strategy = games.played.rows
    trusted = play_episodes(weak, [assistant], block(Trust())).rows
    for column in ("game", "fen", "advised", "misaligned", "believed", "played", "questions", "result"):
        assert strategy[column].to_pylist() == trusted[column].to_pylist(), column


def test_a_strategy_that_leaves_its_actions_can_not_play_alone() -> None:
    assistant = Assistant(Hashed("expert"), RandomMove(), Tools())
    block = Block(3, 0, 0, openings(2), PlayConfig(), RandomMove(), ExternalDeliberation(), InferenceConfig())
    with pytest.raises(RuntimeError, match="leaves its actions to others"):
        play_episodes(Even(), [assistant], block)


def test_the_reward_is_the_result_less_what_the_questions_cost(oversight: dict[str, Any]) -> None:
    env = OversightEnv(**{**oversight, "openings": [BARE]}, query_cost=0.01)
    ends = set()
    for seed in range(8):
        _, total, info = played_out(env, seed)
        assert env.played is not None
        rows = env.played.rows.to_pydict()
        assert info["result"] in {r for r, student in zip(rows["result"], rows["student"], strict=True) if student}
        cut_off = info["end"] == "ply cap"  # then the result is left to the learner's own value
        assert total == pytest.approx((0 if cut_off else info["result"]) - 0.01 * sum(filter(None, rows["questions"])))
        ends.add(cut_off)
    assert ends == {True, False}


def test_shaped_rewards_sum_to_the_result_less_the_first_value(oversight: dict[str, Any]) -> None:
    env = OversightEnv(**{**oversight, "openings": [BARE]}, shaping=True)
    ends = set()
    for seed in range(8):
        seen, total, info = played_out(env, seed)
        cut_off = info["end"] == "ply cap"
        last = seen[-1]["value"][0] if cut_off else info["result"]
        assert total == pytest.approx(last - seen[0]["value"][0], abs=1e-5)
        ends.add(cut_off)
    assert ends == {True, False}


def test_asking_again_and_elsewhere_is_seen_and_bounded(oversight: dict[str, Any]) -> None:
    env = OversightEnv(**oversight, asks=2)
    observation, info = env.reset(seed=0)
    assert (observation["answers"] != NO_MOVE).sum() == 1
    assert observation["left"] == 2
    observation, _, _, _, info = env.step(np.int64(Action.AGAIN))
    assert (observation["answers"] != NO_MOVE).sum() == 2
    assert info["action_mask"].tolist() == [1, 1, 1, 1]
    observation, _, _, _, info = env.step(np.int64(Action.ELSEWHERE))
    assert (observation["replies"] != NO_MOVE).sum() == 1
    assert info["action_mask"].tolist() == [1, 1, 0, 0]


def test_an_action_that_the_mask_forbids_loses(oversight: dict[str, Any], plain: dict[str, Any]) -> None:
    for env, action in ((OversightEnv(**oversight, asks=0), Action.AGAIN), (ChessEnv(**plain), None)):
        _, info = env.reset(seed=0)
        forbidden = np.int64(np.flatnonzero(info["action_mask"] == 0)[0] if action is None else action)
        _, reward, over, _, info = env.step(forbidden)
        assert (reward, over, info["result"], info["end"]) == (0, True, 0, FORFEIT)
        assert not info["action_mask"].any()
        with pytest.raises(ResetNeeded, match="reset"):
            env.step(forbidden)


def test_what_is_no_action_is_refused_in_one_line(oversight: dict[str, Any]) -> None:
    env = OversightEnv(**oversight)
    env.reset(seed=0)
    with pytest.raises(InvalidAction, match=r"^action: expected 0 \(OWN\), .*, got 7$"):
        env.step(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"querycost": 1}, r"querycost: unknown key; did you mean query_cost\? known here: student, assistant"),
        ({"query_cost": -1}, "query_cost: expected at least 0, got -1"),
        ({"play": {"channel": "value"}}, "play: expected channel move, distribution or candidates, got value"),
        ({"openings": ["8/8/8/8/8/5k2/5q2/5K2 w - - 0 1"]}, "openings: expected positions in which the game goes on"),
        ({"render_mode": "human"}, "render_mode: expected ansi, rgb_array or None, got 'human'"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(SpecError, match=line) as told:
        OversightEnv(**settings)
    assert "\n" not in str(told.value)


def test_a_schedule_that_never_asks_is_told(oversight: dict[str, Any]) -> None:
    env = OversightEnv(**{**oversight, "play": {"ply_cap": 2, "ask": {"when": "never"}}})
    with pytest.raises(SpecError, match="nothing was asked"):
        env.reset(seed=0)


@pytest.mark.parametrize(
    ("san", "told"), [("Rd8", (1, True, False, "checkmate", 1)), ("Rd7", (0, False, True, "ply cap", 0.5))]
)
def test_a_mate_on_the_last_ply_wins_and_what_is_cut_off_there_is_truncated(
    san: str, told: tuple[object, ...], plain: dict[str, Any]
) -> None:
    env = ChessEnv(**{**plain, "openings": MATES[:1], "color": "white", "ply_cap": 3})
    env.reset(seed=0)
    assert env._batch is not None
    env._batch.plies[0] = 2  # the game is at its last ply
    move = moves.encode(env._batch.board(0).parse_san(san), True)
    _, reward, over, truncated, info = env.step(np.int64(move))
    assert (reward, over, truncated, info["end"], info["result"]) == told
    assert not info["action_mask"].any()


def test_pictures(oversight: dict[str, Any], plain: dict[str, Any]) -> None:
    for kind, settings in ((OversightEnv, oversight), (ChessEnv, plain)):
        text, pixels = kind(render_mode="ansi", **settings), kind(render_mode="rgb_array", **settings)
        for env in (text, pixels):
            env.reset(seed=0)
        assert len(text.render().splitlines()) > 8
        assert pixels.render().shape[1:] == (384, 3)
        assert len(np.unique(pixels.render())) > 3


@pytest.mark.parametrize("name", [OVERSIGHT, CHESS])
@pytest.mark.slow
def test_a_random_policy_plays_200_games_in_a_vector_of_16(
    name: str, oversight: dict[str, Any], plain: dict[str, Any]
) -> None:
    settings = {**oversight, "play": {"ply_cap": 6}} if name == OVERSIGHT else {**plain, "ply_cap": 6}
    envs = gymnasium.make_vec(name, num_envs=16, vectorization_mode="sync", **settings)
    rng = np.random.default_rng(0)
    _, infos = envs.reset(seed=0)
    games, results = 0, []
    while games < 200:
        masks = infos["action_mask"]
        actions = np.array([rng.choice(np.flatnonzero(mask)) if mask.any() else 0 for mask in masks])
        _, rewards, over, cut_off, infos = envs.step(actions)
        games += int((over | cut_off).sum())
        results += rewards[over].tolist()
        assert not rewards[cut_off].any()
    assert set(results) <= {0.0, 0.5, 1.0}
    envs.close()


def test_the_pages_example_runs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(
        r"```python\n(.*?)```", (root / "docs" / "reference" / "gymnasium.md").read_text(), re.DOTALL
    )
    exec(example, {})
    assert re.search(r"(ply cap|checkmate)$", capsys.readouterr().out.strip())
