"""Adversarial training from end to end: a filter is trained, attacked, hardened and attacked again.

Every stage is whole files:

OUT/
  spec.yaml                     every setting
  provenance.json               versions, and digests of networks and of the code of plugins
  NAME.py                       a copy of each file that a plugin comes from
  dataset/                      labelled positions of play
  generation-0/                 the first filter, -1, -2: after each round of hardening
    network.safetensors         the filter before calibration
    filter.safetensors          with its threshold: what players and strategies load
    attacks/NAME/runs-*.jsonl   what attackers spent, and the adversarial examples
    attacks/NAME/prepared.safetensors  where an attack trains a network of its own
    active/                     positions that the oracle was asked about, chosen by this filter
    adversarial_examples.parquet  those to learn from, all moves of their positions labelled
    drafts.parquet              positions that attackers tried on the way, likewise
    rare.json                   how likely random edits break it
    strength.json               a match of the filtered proposer against itself without a filter
  variants/NAME.safetensors     other filters, for comparison
  variants/NAME/drops-*.parquet what a look-ahead sees
  closest/PART/                 positions of a split, labelled at more nodes
  cascades/STAGE/               what a second stage sees
  shifts/NAME/                  labelled positions of other kinds
  tuned.safetensors             the proposer fine-tuned against the last filter, where that was asked for
  cascades.json                 where cascades alone were asked for, their figures
  oracle.sqlite                 what the oracle has looked at
  result.json                   every figure
A run that was stopped goes on with what is there; variants, cascades and shifts may be added to one that is done.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from agents.checkpoint_files import read_checkpoints
from engines import filter as filters
from engines.network import PolicyValueNet
from engines.settings import SpecError
from sandwich.evaluation.oracle import Oracle
from sandwich.highstakes import active, cascade, measure, resume, shift
from sandwich.highstakes.attack_runs import HUMAN, AttackJobContext, AttackRun, attack_runs, prepared, read
from sandwich.highstakes.calibrate import Calibrated, calibrated, curve, difference, grid
from sandwich.highstakes.catastrophes import Catastrophes, labelled_by
from sandwich.highstakes.closest import drawn, floor, looked_at
from sandwich.highstakes.compute import Defender, race
from sandwich.highstakes.dataset import make_dataset
from sandwich.highstakes.environment import AttackData
from sandwich.highstakes.fit import FilterConfig, VerdictFit, lessons, risks, roc, train_filter
from sandwich.highstakes.forecast import forecast
from sandwich.highstakes.harden import Case, draft_cases, example_cases, held_back, labelled, learned, mixed
from sandwich.highstakes.latent import Latent, displacement, fooled
from sandwich.highstakes.rare import rare
from sandwich.highstakes.spec import HighStakesSpec
from sandwich.highstakes.strength import StrengthConfig, strength
from sandwich.highstakes.tune import Tuning, tunable
from sandwich.highstakes.variants import VariantContext, begun, compare
from sandwich.runtime.cluster import Cluster, cores
from sandwich.runtime.kept import (
    DamagedError,
    check,
    keep_checksums,
    missing,
    read_if_there,
    read_json,
    read_kept,
    read_parquet,
    read_settings,
    write_kept,
)
from sandwich.runtime.networks import blunder_filter
from sandwich.runtime.origin import claim
from sandwich.runtime.progress import NO_PROGRESS, Prefixed, ProgressReporter
from sandwich.runtime.rng import RngStream, make_rng, make_seed
from sandwich.training.examples import FitReporter

ACCEPTED = 100
"""Accepted proposals that a forecast is made from."""
PROBED = Latent(weight=1.0, depth=3, radius=0.1, steps=4)
"""The adversary on activations that every filter is tried with; its radius in random edits."""
FORMAT = "sandwich-high-stakes/2"
"""Of `result.json`: what its keys are called."""
Risks = list[npt.NDArray[np.float32]]
"""For each position `[M]`, a filter's probability that each legal move is a catastrophe."""


@dataclass(frozen=True, eq=False)
class Generation:
    """A filter of the experiment: its file, and what it says of the calibration and of the test split."""

    number: int
    content: bytes
    risk: Risks
    measured: dict[str, Calibrated]


class AdversarialTraining:
    """One high-stakes experiment in its folder, which nobody else may write at that time (`sandwich.runtime.locks`).

    Raises SpecError where the folder was begun with other settings, DamagedError for a file that is not what was
    written.
    """

    def __init__(
        self, spec: HighStakesSpec, out: Path, cluster: Cluster, progress: ProgressReporter = NO_PROGRESS
    ) -> None:
        self.spec, self.out, self.cluster, self.progress = spec, out, cluster, progress
        self.checkpoints = read_checkpoints(spec)
        self._check_depths()
        settings = spec.model_dump(mode="json", exclude={"workers"})
        about = out / "spec.yaml"
        out.mkdir(parents=True, exist_ok=True)
        resume.take_back(out)
        if problems := check(out, but=("result.json", "report.html")).problems:
            raise DamagedError(problems[0])
        if not about.exists() and (out / "dataset").exists():
            raise missing(about)
        if about.exists():
            begun_with = read_settings(about)
            if key := resume.other_key(begun_with, spec):
                raise SpecError(
                    f"{out} was begun with another {key}: choose another folder, or the settings in {about}"
                )
            settings = resume.united(begun_with, settings)
        keep_checksums(out)
        resume.claim(out, spec, spec.attacks, self.checkpoints)
        write_kept(about, yaml.safe_dump(settings, sort_keys=False).encode())

    def _check_depths(self) -> None:
        """SpecError where latent training is to move activations behind more blocks than a network has."""
        fits: list[tuple[str, FilterConfig, VerdictFit]] = [
            (f"variants.{name}", config, config.fit) for name, config in self.spec.variants.items()
        ]
        fits.append(("filter", self.spec.filter, self.spec.filter.fit))
        if self.spec.harden.fit:
            fits.append(("harden", self.spec.filter, self.spec.harden.fit))
        for key, config, fit in fits:
            if fit.latent and fit.latent_depth > (most := begun(config, self.checkpoints, 0).config.blocks):
                raise SpecError(
                    f"{key}.fit.latent_depth: expected at most {most}, the blocks of the network, got"
                    f" {fit.latent_depth}"
                )

    def dataset(self) -> Catastrophes:
        """The labelled positions; made where they are missing."""
        spec, folder = self.spec, self.out / "dataset"
        before, now = labelled_by(folder), self._oracle(spec.dataset.nodes).identity
        if before and now and before != now:
            raise SpecError(f"{self.out} was begun with {before}, here is {now}: choose another folder, or that engine")
        if now:
            folder.mkdir(parents=True, exist_ok=True)
            claim(folder, now, begun=before is not None)
        return make_dataset(self.cluster, spec.dataset, self.checkpoints, spec.inference, folder, self.progress)

    def _oracle(self, nodes: int | None) -> Oracle:
        return Oracle(nodes, self.out / "oracle.sqlite")

    def generation(self, number: int, data: Catastrophes) -> Generation:
        """A filter, trained and calibrated where it is missing; needs the attacks on those before it."""
        folder = self.folder(number)
        folder.mkdir(parents=True, exist_ok=True)
        trained, ready = folder / "network.safetensors", folder / "filter.safetensors"
        if not trained.exists():
            write_kept(trained, filters.to_bytes(self._trained(number, data), 0.5))
        net, _ = filters.from_bytes(read_kept(trained), str(trained))
        measured, risk = self._measured(net, data, f"generation {number}")
        if not ready.exists():
            about = {"spec": self.spec.model_dump(mode="json"), "generation": number}
            write_kept(ready, filters.to_bytes(net, measured[self.spec.proposer].threshold, about))
        return Generation(number, read_kept(ready), risk, measured)

    def folder(self, number: int) -> Path:
        """Where a generation is."""
        return self.out / f"generation-{number}"

    def _trained(self, number: int, data: Catastrophes) -> PolicyValueNet:
        spec, learn = self.spec, data.split("train")
        if number == 0:
            return self._fitted(spec.filter, learn, "filter")
        attacked = [self._labelled(earlier, "adversarial_examples", example_cases) for earlier in range(number)]
        wanted = range(number) if spec.harden.drafts else ()
        drafts = [self._labelled(earlier, "drafts", draft_cases) for earlier in wanted]
        if spec.harden.active.positions:
            learn = active.joined([learn, *(self._asked(earlier, data) for earlier in range(number))])
        examples = mixed(learn, attacked, drafts, spec.filter.proposed, spec.harden)
        reporter = FitReporter(self.progress, f"generation {number}: training")
        seed = make_seed(RngStream.FILTER_FIT, spec.seed, number)
        if spec.harden.fit is None:
            net = begun(spec.filter, self.checkpoints, spec.seed)
            return train_filter(
                net, examples, spec.filter.fit, seed, head_only=spec.filter.head_only, on_progress=reporter
            )
        net, _ = filters.from_bytes(read_kept(self.folder(number - 1) / "network.safetensors"))
        return train_filter(net, examples, spec.harden.fit, seed, on_progress=reporter)

    def _fitted(self, config: FilterConfig, learn: Catastrophes, name: str) -> PolicyValueNet:
        net = begun(config, self.checkpoints, self.spec.seed)
        return train_filter(
            net, lessons(learn, config.proposed), config.fit, self.spec.seed,
            head_only=config.head_only, on_progress=FitReporter(self.progress, f"{name}: training"),
        )  # fmt: skip

    def _labelled(self, number: int, what: str, chosen: Callable[[Sequence[AttackRun]], list[Case]]) -> Catastrophes:
        """Cases from the attack runs of a generation, all their moves labelled."""
        cases = chosen([run for runs in self._runs(number).values() for run in runs])
        path = self.folder(number) / f"{what}.parquet"
        progress = Prefixed(self.progress, f"generation {number}: {what.replace('_', ' ')}: ")
        spec = self.spec.dataset
        return labelled(self.cluster, cases, spec.nodes, spec.threshold, path, progress)

    def _asked(self, number: int, data: Catastrophes) -> Catastrophes:
        """Positions of play chosen by a generation, labelled."""
        spec, folders = self.spec, [self.folder(earlier) / "active" for earlier in range(number + 1)]
        return active.asked(
            self.cluster, data.split("train", False), read_kept(self.folder(number) / "network.safetensors"),
            spec.harden.active, folders[-1], folders[:-1], spec.dataset.nodes, (spec.seed, number), spec.inference,
            Prefixed(self.progress, f"generation {number}: "),
        )  # fmt: skip

    def _measured(
        self,
        net: PolicyValueNet,
        data: Catastrophes,
        name: str,
        adjusted: Callable[[Risks], Risks] = lambda risk: risk,
    ) -> tuple[dict[str, Calibrated], Risks]:
        """Figures by proposer, and what the filter says of the test split."""
        spec = self.spec
        first, second = data.split("calibration"), data.split("test")
        both_parts = np.concatenate([first.packed, second.packed]), [*first.legal, *second.legal]
        everything = adjusted(risks(net, *both_parts, spec.inference))
        of_first, of_second = everything[: len(first)], everything[len(first) :]
        out = {}
        self.progress.begin(f"{name}: calibrating", len(data.proposals))
        for proposer in data.proposals:
            tried = grid(first, of_first, proposer, spec.calibration.grid)
            both = [
                curve(part, risk, proposer, tried, spec.calibration.proposals)
                for part, risk in ((first, of_first), (second, of_second))
            ]
            rng = make_rng(RngStream.CALIBRATION, spec.seed)  # the same games in each draw for every filter
            out[proposer] = calibrated(both[0], both[1], spec.calibration, rng)
            self.progress.advance()
        return out, of_second

    def attack(self, generation: Generation, data: Catastrophes) -> dict[str, list[AttackRun]]:
        """Every attack on a filter; runs that are there already are only read."""
        spec, number = self.spec, generation.number
        earlier = [runs for before in range(number) for runs in self._runs(before).values()]
        labelled = data.split("train")
        play = active.for_attackers(data.split("train", False), spec.harden.active)
        out: dict[str, list[AttackRun]] = {}
        for place, (name, config) in enumerate(spec.attacks.items()):
            known = [example for runs in earlier for example in learned(runs)]
            given = AttackData(labelled.dealt(False), play.dealt(False), spec.proposer, tuple(known))
            known = [example for runs in earlier for _, example in held_back(runs)]
            held = AttackData(labelled.dealt(True), play.dealt(True), spec.proposer, tuple(known))
            folder = self.folder(number) / "attacks" / name
            folder.mkdir(parents=True, exist_ok=True)
            progress = Prefixed(self.progress, f"generation {number}: {name}: ")
            made = folder / "prepared.safetensors"
            if not made.exists():
                progress.begin("preparing", 1)
                seed = make_seed(RngStream.ATTACK_PREPARED, spec.seed, number, place)
                content = prepared(config.attack, generation.content, given, spec.inference, seed)
                write_kept(made, content or b"")
                progress.advance()
            context = AttackJobContext(
                generation.content, config, spec.judge, given, held, read_kept(made) or None,
                spec.dataset.proposers[spec.proposer], self.checkpoints, spec.inference,
            )  # fmt: skip
            out[name] = attack_runs(self.cluster, context, (spec.seed, number, place), folder, progress)
            earlier.append(out[name])
        return out

    def _runs(self, number: int) -> dict[str, list[AttackRun]]:
        """Attack runs of a generation that are in its folder, those of a person among them."""
        out = {}
        for name in (*self.spec.attacks, HUMAN):
            files = sorted((self.folder(number) / "attacks" / name).glob("runs-*.jsonl"))
            if files or name != HUMAN:
                out[name] = [run for file in files for run in read(file)]
        return out

    def run(self, *, tune: bool = False) -> dict[str, Any]:
        """Everything, and what came of it (`result`); with `tune` the proposer fine-tuned against the last filter too.

        Raises SpecError where there is no network to fine-tune.
        """
        if tune:
            tunable(self.spec.dataset.proposers, self.spec.proposer)
        began = time.monotonic()
        for name, source in self.spec.shifts.items():
            shift.check(name, source, self.out / "shifts" / name)
        data = self.dataset()
        generations = []
        for number in range(self.spec.harden.rounds + 1):
            generations.append(self.generation(number, data))
            self.attack(generations[-1], data)
        if tune:
            player = self.checkpoints[tunable(self.spec.dataset.proposers, self.spec.proposer)]
            self._tuning(generations[-1]).make(player, data, FitReporter(self.progress, "tuned: training"))
        return self.result(generations, data, time.monotonic() - began)

    def _tuning(self, last: Generation) -> Tuning:
        """The proposer against a filter."""
        spec, path = self.spec, self.out / "tuned.safetensors"
        return Tuning(
            path, spec.proposer, last.content, last.number, spec.tuned, spec.calibration, spec.seed, spec.inference
        )

    def result(self, generations: list[Generation], data: Catastrophes, seconds: float) -> dict[str, Any]:
        """Every figure of the experiment, as JSON values; also written to `result.json`."""
        spec, test, who = self.spec, data.split("test"), self.spec.proposer
        runs = [self._runs(generation.number) for generation in generations]
        oracle = self._oracle(spec.verify.nodes if spec.verify else None)
        out: dict[str, Any] = {
            "format": FORMAT,
            "name": spec.name,
            "engine": labelled_by(self.out / "dataset"),
            "nodes": {
                "labels": spec.dataset.nodes,
                "attacks": spec.judge.nodes,
                "again": spec.judge.again,
                "verified": oracle.nodes,
            },
            "catastrophe": spec.dataset.threshold,
            "adversarial_example": spec.judge.threshold,
            "positions": {part: len(data.split(part)) for part in ("train", "calibration", "test")},
            "proposer": who,
            "seconds": seconds,
            "generations": [],
        }
        for generation, by_attack in zip(generations, runs, strict=True):
            _, threshold = filters.from_bytes(generation.content)
            row = self._figures(generation, test)
            row["forecast"] = self._forecast(generation, data)
            row["latent"] = self._fooled(generation, test)
            row["threshold"] = threshold
            asked = self.folder(generation.number) / "active"
            if spec.harden.active.positions and (asked / "chosen.json").exists():
                row["active"] = active.figures(asked, self._asked(generation.number, data), who)
            if spec.verify:
                self.progress.begin(f"generation {generation.number}: verifying", 1)
                verified = measure.verified(
                    self.cluster, oracle, test, generation.risk, who, threshold, spec.verify, spec.seed
                )
                row["verified"] = {name: figure.json() for name, figure in verified.items()}
                self.progress.advance()
            if spec.strength:
                row["strength"] = self._strength(generation, spec.strength)
            if spec.rare:
                row["rare"] = self._rare(generation, data)
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
            out["generations"].append(row)
        first, last = generations[0], generations[-1]
        out["harder"] = {
            name: measure.times_cheaper(runs[0][name], runs[-1][name], "queries").json()
            for name in runs[0]
            if len(runs) > 1 and runs[0][name] and runs[-1].get(name)
        }
        out["compute"] = self._compute(generations, runs, data)
        out["cheaper"] = [measure.cheaper(by_attack) for by_attack in runs]
        out["not_worse"] = {
            name: difference(last.measured[who], first.measured[who], name).json()
            for name in ("residual", "served_filtered", "played", "rejected")
        }
        out["cross"] = self._cross(generations, runs)
        out |= self._variants(data, generations[0])
        out |= self.cascades(data, generations[0])
        out["shifts"] = self._shifts(generations)
        out["tuned"] = self._tuning(last).figures(test, last.risk)
        out["examples"] = [
            {"generation": generation.number, "attack": name, **asdict(run.examples[0])}
            for generation, by_attack in zip(generations, runs, strict=True)
            for name, of_attack in by_attack.items()
            for run in [run for run in of_attack if run.examples][:4]
        ]
        write_kept(self.out / "result.json", (json.dumps(out, indent=1) + "\n").encode())
        return out

    def _strength(self, generation: Generation, config: StrengthConfig) -> dict[str, Any]:
        """The filtered proposer against itself without a filter."""
        spec, path = self.spec, self.folder(generation.number) / "strength.json"
        self.progress.begin(f"generation {generation.number}: a match behind the filter", 1)
        figures = strength(
            self.cluster, spec.dataset.proposers[spec.proposer], self.checkpoints, generation.content,
            spec.calibration.proposals, config, path, spec.seed, spec.inference,
        )  # fmt: skip
        self.progress.advance()
        return figures

    def _forecast(self, generation: Generation, data: Catastrophes) -> dict[str, Any]:
        """What some proposals of the calibration split say of a hundred times as many accepted ones."""
        spec, part = self.spec, data.split("calibration")
        net, threshold = filters.from_bytes(generation.content)
        risk = risks(net, part.packed, part.legal, spec.inference)
        rng = make_rng(RngStream.FORECAST, spec.seed)
        return forecast(part, risk, spec.proposer, threshold, ACCEPTED, rng).json()

    def _fooled(self, generation: Generation, test: Catastrophes) -> dict[str, Any]:
        """How often an adversary on its activations gets a catastrophe accepted, in a ball measured in edits."""
        net, threshold = filters.from_bytes(generation.content)
        depth, rng = min(PROBED.depth, net.config.blocks), make_rng(RngStream.LATENT, self.spec.seed, 1)
        far = displacement(net, test.packed, depth, rng)
        probe = replace(PROBED, depth=depth, radius=PROBED.radius * far)
        calm, moved = fooled(net, test, threshold, self.spec.proposer, probe, rng)
        return {"depth": depth, "displacement": far, "accepted": calm.json(), "fooled": moved.json()}

    def _rare(self, generation: Generation, data: Catastrophes) -> dict[str, Any]:
        """How likely random edits break a filter; made where it is missing, or was made with other settings."""
        spec, path = self.spec, self.folder(generation.number) / "rare.json"
        assert spec.rare
        asked = {
            **spec.rare.model_dump(mode="json"), "judge": spec.judge.model_dump(mode="json"),
            "filter": sha256(generation.content).hexdigest(),
        }  # fmt: skip
        if read_if_there(path) is not None and (known := read_json(path)).get("asked") == asked:
            return dict(known["figures"])
        figures = rare(
            self.cluster, generation.content, data.split("train"), spec.rare, spec.judge, spec.inference,
            (spec.seed, generation.number), Prefixed(self.progress, f"generation {generation.number}: "),
        )  # fmt: skip
        write_kept(path, (json.dumps({"asked": asked, "figures": figures}, indent=1) + "\n").encode())
        return figures

    def _figures(self, generation: Generation, test: Catastrophes) -> dict[str, Any]:
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
        self, generations: list[Generation], runs: list[dict[str, list[AttackRun]]], data: Catastrophes
    ) -> list[dict[str, Any]]:
        """What the defender had spent and what an example costs, by generation."""
        spec, labelled = self.spec, data.split("train")
        given = AttackData(labelled.dealt(False), labelled.take([]), spec.proposer)
        prepared = {name: config.attack.preparation(given) for name, config in spec.attacks.items()}
        positions, learned, defenders = len(labelled), spec.filter.fit.epochs * len(labelled), []
        marked = sum(len(data.split(part)) for part in ("train", "calibration", "test"))
        fit = spec.harden.fit or spec.filter.fit
        for generation in generations:
            if generation.number:
                for what in ("adversarial_examples", "drafts"):
                    path = self.folder(generation.number - 1) / f"{what}.parquet"
                    more = len(read_parquet(path, ["moves"])) if path.exists() else 0
                    positions, marked = positions + more, marked + more
                if spec.harden.active.positions:
                    more = len(self._asked(generation.number - 1, data))
                    positions, marked = positions + more, marked + more
                learned += fit.epochs * positions
            defenders.append(Defender(learned, marked, spec.dataset.nodes))
        return race(defenders, runs, spec.judge, [prepared] * len(generations))

    def _cross(self, generations: list[Generation], runs: list[dict[str, list[AttackRun]]]) -> list[dict[str, Any]]:
        """Share of held-back examples of each attack on each generation that each filter lets through."""
        filters_ = {
            generation.number: blunder_filter(generation.content, self.spec.inference) for generation in generations
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

    def _shifts(self, generations: list[Generation]) -> dict[str, Any]:
        """Figures of every filter on positions of other kinds."""
        spec, contents = self.spec, [generation.content for generation in generations]
        source = shift.Source(spec.dataset, self.checkpoints, spec.inference, spec.seed)
        return shift.compare(
            self.cluster, source, spec.shifts, self.out / "shifts", contents, spec.proposer, spec.calibration,
            self.progress,
        )  # fmt: skip

    def cascades(self, data: Catastrophes, first: Generation) -> dict[str, Any]:
        """The floor of the labels, and cascades beside the first filter alone, both by the closest look, as JSON."""
        spec, test = self.spec, data.split("test")
        calibration, further = data.split("calibration"), None
        out: dict[str, Any] = {"floor": None, "cascades": {}}
        if spec.closest:
            nodes, folder = spec.dataset.nodes * spec.closest.times, self.out / "closest"

            def closer(part: Catastrophes, name: str, nodes: int) -> Catastrophes:
                progress = Prefixed(self.progress, f"{name}, {nodes} nodes: ")
                return looked_at(self.cluster, part, nodes, folder / f"{name}-{nodes}", progress)

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
            self.cluster, self.checkpoints, spec.inference, spec.calibration, spec.proposer, spec.filter.proposed,
            spec.seed, self.out / "cascades", net, self.progress,
        )  # fmt: skip
        out["cascades"] = cascade.compare(context, spec.cascades, calibration, test, further)
        return out

    def _variants(self, data: Catastrophes, first: Generation) -> dict[str, Any]:
        """Figures of other filters on the same data, beside those of the first one."""
        spec = self.spec
        context = VariantContext(
            self.cluster, self.checkpoints, spec.inference, spec.calibration, spec.proposer, spec.seed,
            self.out / "variants", self._fitted, self._measured, self.progress,
        )  # fmt: skip
        return compare(context, spec.variants, data, first.content, first.measured[spec.proposer], first.risk)


def worker_count(spec: HighStakesSpec) -> int:
    """Ray workers to start."""
    return spec.workers or cores()
