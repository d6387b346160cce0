"""What came of adversarial training: its figures, from the stages of `sandwich.highstakes.adversarial_training`."""

import json
import time
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from typing import Any

from engines import filter as filters
from engines.network import PolicyValueNet
from sandwich.highstakes import active, cascade, measure, shift
from sandwich.highstakes.adversarial_training import AdversarialTraining, Generation
from sandwich.highstakes.attack_runs import AttackRun
from sandwich.highstakes.calibrate import difference
from sandwich.highstakes.catastrophes import Catastrophes, labelled_by
from sandwich.highstakes.closest import drawn, floor, looked_at
from sandwich.highstakes.compute import Defender, passes, race
from sandwich.highstakes.environment import AttackData
from sandwich.highstakes.fit import roc
from sandwich.highstakes.forecast import forecast
from sandwich.highstakes.harden import held_back
from sandwich.highstakes.kept_rows import kept_figures
from sandwich.highstakes.latent import Latent, displacement, fooled
from sandwich.highstakes.rare import rare
from sandwich.highstakes.strength import StrengthConfig, strength
from sandwich.highstakes.tune import Tuning, tunable
from sandwich.highstakes.variants import VariantContext, compare
from sandwich.runtime.kept import read_parquet, write_kept
from sandwich.runtime.networks import blunder_filter
from sandwich.runtime.progress import Prefixed
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.training.examples import FitReporter

ACCEPTED = 100
"""Accepted proposals that a forecast is made from."""
PROBED = Latent(weight=1.0, depth=3, radius=0.1, steps=4)
"""The adversary on activations that every filter is tried with; its radius in random edits."""
FORMAT = "sandwich-high-stakes/2"
"""Of `result.json`: what its keys are called."""
Runs = dict[str, list[AttackRun]]
"""On one filter, by the name of the attack."""


def run(experiment: AdversarialTraining, *, tune: bool = False) -> dict[str, Any]:
    """A whole experiment and every figure of it, as JSON values; also written to its `result.json`.

    tune: fine-tune the proposer against the last filter too. Raises SpecError where there is no network to fine-tune.
    """
    spec = experiment.spec
    if tune:
        tunable(spec.dataset.proposers, spec.proposer)
    began = time.monotonic()
    generations, data = experiment.everything()
    if tune:
        player = experiment.checkpoints[tunable(spec.dataset.proposers, spec.proposer)]
        _tuning(experiment, generations[-1]).make(player, data, FitReporter(experiment.progress, "tuned: training"))
    return _result(experiment, generations, data, time.monotonic() - began)


def _tuning(experiment: AdversarialTraining, last: Generation) -> Tuning:
    """The proposer against a filter."""
    spec, path = experiment.spec, experiment.out / "tuned.safetensors"
    return Tuning(
        path, spec.proposer, last.content, last.number, spec.tuned, spec.calibration, spec.seed, spec.inference
    )


def _result(
    experiment: AdversarialTraining, generations: list[Generation], data: Catastrophes, seconds: float
) -> dict[str, Any]:
    """Every figure of the experiment, as JSON values; also written to `result.json`."""
    spec, test, who = experiment.spec, data.split("test"), experiment.spec.proposer
    runs = [experiment.runs(generation.number) for generation in generations]
    out: dict[str, Any] = {
        "format": FORMAT,
        "name": spec.name,
        "engine": labelled_by(experiment.out / "dataset"),
        "nodes": {
            "labels": spec.dataset.nodes,
            "attacks": spec.judge.nodes,
            "again": spec.judge.again,
            "verified": experiment.oracle(spec.verify.nodes if spec.verify else None).nodes,
        },
        "catastrophe": spec.dataset.threshold,
        "adversarial_example": spec.judge.threshold,
        "positions": {part: len(data.split(part)) for part in ("train", "calibration", "test")},
        "proposer": who,
        "seconds": seconds,
        "generations": [
            _of_one(experiment, generation, data, by_attack)
            for generation, by_attack in zip(generations, runs, strict=True)
        ],
    }
    first, last = generations[0], generations[-1]
    out["harder"] = {
        name: measure.times_cheaper(runs[0][name], runs[-1][name], "queries").json()
        for name in runs[0]
        if len(runs) > 1 and runs[0][name] and runs[-1].get(name)
    }
    out["compute"] = _compute(experiment, generations, runs, data)
    out["cheaper"] = [measure.cheaper(by_attack) for by_attack in runs]
    out["not_worse"] = {
        name: difference(last.measured[who], first.measured[who], name).json()
        for name in ("residual", "served_filtered", "played", "rejected")
    }
    out["cross"] = _cross(experiment, generations, runs)
    out |= _variants(experiment, data, generations[0])
    out |= cascades(experiment, data, generations[0])
    out["shifts"] = _shifts(experiment, generations)
    out["tuned"] = _tuning(experiment, last).figures(test, last.risk)
    out["examples"] = [
        {"generation": generation.number, "attack": name, **asdict(run.examples[0])}
        for generation, by_attack in zip(generations, runs, strict=True)
        for name, of_attack in by_attack.items()
        for run in [run for run in of_attack if run.examples][:4]
    ]
    write_kept(experiment.out / "result.json", (json.dumps(out, indent=1) + "\n").encode())
    return out


def _of_one(
    experiment: AdversarialTraining, generation: Generation, data: Catastrophes, by_attack: Runs
) -> dict[str, Any]:
    """The figures of one filter, and of the attacks on it."""
    spec, test, who = experiment.spec, data.split("test"), experiment.spec.proposer
    net, threshold = filters.from_bytes(generation.content)
    row = _figures(generation, test)
    rng = make_rng(RngStream.FORECAST, spec.seed)
    part = data.split("calibration")
    row["forecast"] = forecast(part, generation.calibration_risk, who, threshold, ACCEPTED, rng).json()
    row["latent"] = _fooled(net, threshold, test, who, spec.seed)
    row["threshold"] = threshold
    asked = experiment.folder(generation.number) / "active"
    if spec.harden.active.positions and (asked / "chosen.json").exists():
        row["active"] = active.figures(asked, experiment.asked(generation.number, data), who)
    if spec.verify:
        oracle = experiment.oracle(spec.verify.nodes)
        experiment.progress.begin(f"generation {generation.number}: verifying", 1)
        verified = measure.verified(
            experiment.cluster, oracle, test, generation.risk, who, threshold, spec.verify, spec.seed
        )
        row["verified"] = {name: figure.json() for name, figure in verified.items()}
        experiment.progress.advance()
    if spec.strength:
        row["strength"] = _strength(experiment, generation, spec.strength)
    if spec.rare:
        row["rare"] = _rare(experiment, generation, data)
    row["attacks"] = {
        name: {
            **{unit: measure.cost(of_attack, unit) for unit in measure.UNITS},
            "examples": sum(len(run.examples) for run in of_attack),
            "unconfirmed": measure.unconfirmed(of_attack).json(),
            "illegal": sum(run.illegal for run in of_attack),
        }
        for name, of_attack in by_attack.items()
        if of_attack
    }
    return row


def _strength(experiment: AdversarialTraining, generation: Generation, config: StrengthConfig) -> dict[str, Any]:
    """The filtered proposer against itself without a filter."""
    spec, path = experiment.spec, experiment.folder(generation.number) / "strength.json"
    experiment.progress.begin(f"generation {generation.number}: a match behind the filter", 1)
    figures = strength(
        experiment.cluster, spec.dataset.proposers[spec.proposer], experiment.checkpoints, generation.content,
        spec.calibration.proposals, config, path, spec.seed, spec.inference,
    )  # fmt: skip
    experiment.progress.advance()
    return figures


def _fooled(net: PolicyValueNet, threshold: float, test: Catastrophes, proposer: str, seed: int) -> dict[str, Any]:
    """How often an adversary on its activations gets a catastrophe accepted, in a ball measured in edits."""
    depth, rng = min(PROBED.depth, net.config.blocks), make_rng(RngStream.LATENT, seed, 1)
    far = displacement(net, test.packed, depth, rng)
    probe = replace(PROBED, depth=depth, radius=PROBED.radius * far)
    calm, moved = fooled(net, test, threshold, proposer, probe, rng)
    return {"depth": depth, "displacement": far, "accepted": calm.json(), "fooled": moved.json()}


def _rare(experiment: AdversarialTraining, generation: Generation, data: Catastrophes) -> dict[str, Any]:
    """How likely random edits break a filter; made where it is missing, or was made with other settings."""
    spec, path = experiment.spec, experiment.folder(generation.number) / "rare.json"
    assert spec.rare
    asked = {
        **spec.rare.model_dump(mode="json"), "judge": spec.judge.model_dump(mode="json"),
        "filter": sha256(generation.content).hexdigest(),
    }  # fmt: skip
    made = partial(
        rare, experiment.cluster, generation.content, data.split("train"), spec.rare, spec.judge, spec.inference,
        (spec.seed, generation.number), Prefixed(experiment.progress, f"generation {generation.number}: "),
    )  # fmt: skip
    return kept_figures(path, asked, made)


def _figures(generation: Generation, test: Catastrophes) -> dict[str, Any]:
    curves = {name: roc(test, generation.risk, name) for name in (*test.proposals, None)}
    return {
        "generation": generation.number,
        "proposers": {
            name: {
                "threshold": measured.threshold,
                "figures": {key: figure.json() for key, figure in measured.figures.items()},
            }
            for name, measured in generation.measured.items()
        },
        "roc": {
            name or "all moves": {
                "auc": curve_.auc,
                "refused_fine": curve_.refused_fine.tolist(),
                "refused_bad": curve_.refused_bad.tolist(),
            }
            for name, curve_ in curves.items()
        },
    }


def _compute(
    experiment: AdversarialTraining, generations: list[Generation], runs: list[Runs], data: Catastrophes
) -> list[dict[str, Any]]:
    """What the defender had spent and what an example costs, by generation."""
    spec, labelled = experiment.spec, data.split("train")
    given = AttackData(labelled.dealt(False), labelled.take([]), spec.proposer)
    prepared = {name: config.attack.preparation(given) for name, config in spec.attacks.items()}
    positions, learned, defenders = len(labelled), spec.filter.fit.epochs * len(labelled), []
    marked = sum(len(data.split(part)) for part in ("train", "calibration", "test"))
    fit = spec.harden.fit or spec.filter.fit
    net, _ = filters.from_bytes(generations[0].content)
    for generation in generations:
        if generation.number:
            for what in ("adversarial_examples", "drafts"):
                path = experiment.folder(generation.number - 1) / f"{what}.parquet"
                more = len(read_parquet(path, ["moves"])) if path.exists() else 0
                positions, marked = positions + more, marked + more
            if spec.harden.active.positions:
                more = len(experiment.asked(generation.number - 1, data))
                positions, marked = positions + more, marked + more
            learned += fit.epochs * positions
        defenders.append(Defender(learned, marked, spec.dataset.nodes, passes(net.config)))
    return race(defenders, runs, spec.judge, [prepared] * len(generations))


def _cross(experiment: AdversarialTraining, generations: list[Generation], runs: list[Runs]) -> list[dict[str, Any]]:
    """Share of held-back examples of each attack on each generation that each filter lets through."""
    filters_ = {
        generation.number: blunder_filter(generation.content, experiment.spec.inference) for generation in generations
    }
    return [
        {
            "filter": number,
            "attacked": attacked,
            "attack": name,
            "examples": len(held := held_back(of_attack)),
            "let_through": measure.let_through(filters_[number], held).json(),
        }
        for number in filters_
        for attacked, by_attack in enumerate(runs)
        for name, of_attack in by_attack.items()
    ]


def _shifts(experiment: AdversarialTraining, generations: list[Generation]) -> dict[str, Any]:
    """Figures of every filter on positions of other kinds."""
    spec, contents = experiment.spec, [generation.content for generation in generations]
    source = shift.Source(spec.dataset, experiment.checkpoints, spec.inference, spec.seed)
    return shift.compare(
        experiment.cluster, source, spec.shifts, experiment.out / "shifts", contents, spec.proposer, spec.calibration,
        experiment.progress,
    )  # fmt: skip


def cascades(experiment: AdversarialTraining, data: Catastrophes, first: Generation) -> dict[str, Any]:
    """The floor of the labels, and cascades beside the first filter alone, both by the closest look, as JSON."""
    spec, test = experiment.spec, data.split("test")
    calibration, further = data.split("calibration"), None
    out: dict[str, Any] = {"floor": None, "cascades": {}}
    if spec.closest:
        nodes, folder = spec.dataset.nodes * spec.closest.times, experiment.out / "closest"

        def closer(part: Catastrophes, name: str, nodes: int) -> Catastrophes:
            progress = Prefixed(experiment.progress, f"{name}, {nodes} nodes: ")
            return looked_at(experiment.cluster, part, nodes, folder / f"{name}-{nodes}", progress)

        looks = [closer(part, name, nodes) for part, name in ((calibration, "calibration"), (test, "test"))]
        rows = drawn(test, spec.closest, spec.seed)
        furthest = closer(test.take(rows), f"test-{len(rows)}", nodes * spec.closest.further)
        further = rows, furthest
        out["floor"] = {
            "nodes": [spec.dataset.nodes, nodes, nodes * spec.closest.further],
            "labels": floor(test, looks[1], spec.proposer),
            "labels_further": floor(test.take(rows), furthest, spec.proposer),
            "closest": floor(looks[1].take(rows), furthest, spec.proposer),
        }
        calibration, test = looks
    net, _ = filters.from_bytes(first.content)
    context = cascade.CascadeContext(
        experiment.cluster, experiment.checkpoints, spec.inference, spec.calibration, spec.proposer,
        spec.filter.proposed, spec.seed, experiment.out / "cascades", net, experiment.progress,
    )  # fmt: skip
    out["cascades"] = cascade.compare(context, spec.cascades, calibration, test, further)
    return out


def _variants(experiment: AdversarialTraining, data: Catastrophes, first: Generation) -> dict[str, Any]:
    """Figures of other filters on the same data, beside those of the first one."""
    spec = experiment.spec
    context = VariantContext(
        experiment.cluster, experiment.checkpoints, spec.inference, spec.calibration, spec.proposer, spec.seed,
        experiment.out / "variants", experiment.fitted, experiment.measured, experiment.progress,
    )  # fmt: skip
    return compare(context, spec.variants, data, first.content, first.measured[spec.proposer], first.risk)
