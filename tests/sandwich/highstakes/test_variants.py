"""Other filters on the same data: what they learn from, begin as and cost, and the arithmetic of a look-ahead."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from engines.network import NetworkConfig
from engines.settings import SpecError
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.fit import roc
from sandwich.highstakes.lookahead import LookaheadConfig
from sandwich.highstakes.spec import HighStakesSpec
from sandwich.highstakes.spec import load_highstakes as load
from sandwich.highstakes.variants import VariantConfig, area, begun, dealt, milliseconds, parameters
from tests.helpers.highstakes import LEGAL, START, random_catastrophes
from tests.helpers.small_players import checkpoint


def numbered(count: int) -> Catastrophes:
    """Positions of games 0, 1, 2, …, two of each."""
    data = random_catastrophes(count)
    return replace(data, games=np.arange(count) // 2, openings=np.arange(count) // 2)


def test_fewer_labels_are_some_of_more() -> None:
    learn = numbered(120)
    told_apart = {"weak": [np.full(len(LEGAL), row, np.float32) for row in range(120)]}
    learn = replace(learn, proposals=told_apart)

    def rows(**settings: object) -> set[float]:
        learned, held = dealt("it", VariantConfig.model_validate(settings), learn, 0)
        assert not len(held)
        return {float(policy[0]) for policy in learned.proposals["weak"]}

    assert len(rows()) == 120
    assert len(rows(positions=40)) == 40
    assert rows(positions=0.25) < rows(positions=40) < rows()
    with pytest.raises(SpecError, match=r"variants\.it\.positions: expected 2 to 120 positions, got 121"):
        rows(positions=121)
    with pytest.raises(SpecError, match="got 1"):
        rows(positions=0.01)


def test_a_look_ahead_is_weighed_up_on_openings_that_nobody_learned_from() -> None:
    learn = numbered(180)
    learned, held = dealt("it", VariantConfig(lookahead=LookaheadConfig(held=0.2)), learn, 0)
    assert (len(learned), len(held)) == (144, 36)
    assert not set(learned.openings) & set(held.openings)


def test_a_network_from_nothing_has_its_own_size_and_the_same_weights_each_time() -> None:
    config = VariantConfig(network=NetworkConfig(blocks=2, channels=16, squeeze=2, head=8))
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (begun(config, {}, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.config == config.network
    assert torch.equal(first.stem.weight, again.stem.weight)
    assert not torch.equal(first.stem.weight, other.stem.weight)
    there = begun(VariantConfig(start="small"), {"small": checkpoint(1)}, 0)
    assert there.config == NetworkConfig(blocks=1, channels=16, squeeze=2, head=16)
    assert parameters(first) == sum(tensor.numel() for tensor in first.state_dict().values()) - sum(
        tensor.numel() for name, tensor in first.state_dict().items() if "running" in name or "num" in name
    )
    assert 0 < milliseconds(there, START[None]) < 100


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"positions": 4.5}, r"positions: expected a whole number, or a share under 1, got 4\.5"),
        ({"positions": 0}, r"variants\.it\.positions: expected more than 0, got 0"),
        ({"network": {"blocks": 2, "width": 8}}, r"variants\.it\.network\.width: unknown key; known here: blocks"),
        ({"network": {}, "head_only": True}, r"head_only: a network that learns from nothing"),
        ({"lookahead": {"plies": 3}}, r"variants\.it\.lookahead\.plies: .*1 or 2, got 3"),
    ],
)
def test_what_is_wrong_with_a_variant_is_said_in_one_line(
    settings: dict[str, object], message: str, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    with_variant = {"attacks": {"sample": {"attack": {"type": "sample"}}}, "variants": {"it": settings}}
    spec.write_text(yaml.safe_dump(with_variant))
    with pytest.raises(SpecError, match=message) as error:
        load(spec, ())
    assert "\n" not in str(error.value)


def test_the_shipped_variants_are_those_of_the_small_experiment(root: Path) -> None:
    specs = root / "experiments" / "specs"
    both: list[HighStakesSpec] = [load(specs / f"highstakes_{name}.yaml", ()) for name in ("small", "variants")]
    assert both[1].model_copy(update={"variants": {}, "name": ""}) == both[0].model_copy(update={"name": ""})
    assert len(both[1].variants) >= 6


def test_an_area_is_that_of_the_roc_and_a_better_filter_is_above_a_worse_one() -> None:
    data, rng = random_catastrophes(300, 1), np.random.default_rng(0)
    good, poor = (
        [(data.bad(row) * by + rng.random(len(LEGAL))).astype(np.float32) for row in range(300)] for by in (2.0, 0.3)
    )
    first, second = area(data, good, "weak", 0), area(data, poor, "weak", 0)
    assert first.value == pytest.approx(roc(data, good, "weak").auc, abs=1e-6) == pytest.approx(1)
    assert second.value == pytest.approx(roc(data, poor, "weak").auc, abs=1e-6)
    gain = first.figure(300, second)
    assert gain.low is not None and gain.value is not None and gain.high is not None
    assert 0 < gain.low < gain.value < gain.high
