"""The whole ladder: a filter is trained, attacked, hardened and attacked again; every stage is whole files.

OUT/
  spec.yaml                     every setting
  dataset/                      labelled positions of play
  generation-0/                 the first filter, -1, -2: after each round of hardening
    network.safetensors         the filter before calibration
    filter.safetensors          with its threshold: what players and strategies load
    attacks/NAME/hunts-*.jsonl  what attackers spent, and the breaks
    attacks/NAME/prepared.safetensors  where an attack trains a network of its own
    active/                     positions that the oracle was asked about, chosen by this filter
    breaks.parquet              positions of breaks to learn from, all their moves labelled
    drafts.parquet              those that attackers tried on the way
    strength.json               a match of the filtered proposer against itself without a filter
  variants/NAME.safetensors     other filters, for comparison
  variants/NAME/drops-*.parquet what a look-ahead sees
  shifts/NAME/                  labelled positions of other kinds
  tuned.safetensors             the proposer fine-tuned against the last filter, where that was asked for
  result.json                   every figure
A run that was stopped goes on with what is there; variants and shifts may be added to one that is done.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from agents.checkpoint_files import read_checkpoints
from engines import filter as filters
from engines.network import PolicyValueNet
from engines.settings import SpecError, read_yaml
from sandwich.evaluation.oracle import Oracle
from sandwich.highstakes import active, measure, resume, shift
from sandwich.highstakes.arena import Material
from sandwich.highstakes.calibrate import Calibrated, calibrated, curve, difference, grid
from sandwich.highstakes.catastrophes import Catastrophes, labelled_by
from sandwich.highstakes.dataset import make_dataset
from sandwich.highstakes.fit import FilterConfig, lessons, risks, roc, train_filter
from sandwich.highstakes.harden import Case, breaks_of, drafts_of, held_back, labelled, learned, mixed
from sandwich.highstakes.hunt import HUMAN, Ground, Hunt, hunts, read
from sandwich.highstakes.spec import LadderSpec
from sandwich.highstakes.strength import StrengthConfig, strength
from sandwich.highstakes.tune import Tuning, tunable
from sandwich.highstakes.variants import Bench, begun, compare
from sandwich.runtime.cluster import Cluster, cores
from sandwich.runtime.files import write_whole
from sandwich.runtime.networks import blunder_filter
from sandwich.training.supervised import FitProgress

Told = Callable[[str, int, int], None]
"""Hears (what, done, of how many)."""


@dataclass(frozen=True, eq=False)
class Generation:
    """A filter of the ladder: its file, and what it says of the calibration and of the test split."""

    number: int
    content: bytes
    risk: list[npt.NDArray[np.float32]]
    measured: dict[str, Calibrated]


class Ladder:
    """One ladder in its folder. Raises SpecError where the folder was begun with other settings."""

    def __init__(self, spec: LadderSpec, out: Path, cluster: Cluster, told: Told = lambda what, done, of: None) -> None:
        self.spec, self.out, self.cluster, self.told = spec, out, cluster, told
        self.checkpoints = read_checkpoints(spec)
        settings = spec.model_dump(mode="json", exclude={"workers"})
        about = out / "spec.yaml"
        out.mkdir(parents=True, exist_ok=True)
        if about.exists():
            there = read_yaml(about)
            if not isinstance(there, dict):
                raise SpecError(f"{about}: expected settings by name, got {type(there).__name__}")
            if key := resume.other_key(there, spec):
                raise SpecError(
                    f"{out} was begun with another {key}: choose another folder, or the settings in {about}"
                )
            settings = resume.united(there, settings)
        write_whole(about, yaml.safe_dump(settings, sort_keys=False).encode())

    def dataset(self) -> Catastrophes:
        """The labelled positions; made where they are missing."""
        count, done = self.spec.dataset.positions, 0

        def tell(more: int) -> None:
            nonlocal done
            done += more
            self.told("positions labelled", done, count)

        spec, folder = self.spec, self.out / "dataset"
        there, here = labelled_by(folder), self._oracle(spec.dataset.nodes).identity
        if there and here and there != here:
            raise SpecError(f"{self.out} was begun with {there}, here is {here}: choose another folder, or that engine")
        return make_dataset(self.cluster, spec.dataset, self.checkpoints, spec.inference, folder, tell)

    def _oracle(self, nodes: int | None) -> Oracle:
        return Oracle(nodes, self.out / "oracle.sqlite")

    def generation(self, number: int, data: Catastrophes) -> Generation:
        """A filter of the ladder, trained and calibrated where it is missing; needs the breaks of those before it."""
        folder = self.folder(number)
        folder.mkdir(parents=True, exist_ok=True)
        trained, ready = folder / "network.safetensors", folder / "filter.safetensors"
        if not trained.exists():
            write_whole(trained, filters.to_bytes(self._trained(number, data), 0.5))
        net, _ = filters.from_bytes(trained.read_bytes(), str(trained))
        measured, risk = self._measured(net, data, f"generation {number}")
        if not ready.exists():
            about = {"spec": self.spec.model_dump(mode="json"), "generation": number}
            write_whole(ready, filters.to_bytes(net, measured[self.spec.proposer].threshold, about))
        return Generation(number, ready.read_bytes(), risk, measured)

    def folder(self, number: int) -> Path:
        """Where a generation is."""
        return self.out / f"generation-{number}"

    def _trained(self, number: int, data: Catastrophes) -> PolicyValueNet:
        spec, learn = self.spec, data.split("train")
        if number == 0:
            return self._fitted(spec.filter, learn, "filter")
        breaks = [self._lessons(earlier, "breaks", breaks_of) for earlier in range(number)]
        wanted = range(number) if spec.harden.drafts else ()
        drafts = [self._lessons(earlier, "drafts", drafts_of) for earlier in wanted]
        if spec.harden.active.positions:
            learn = active.joined([learn, *(self._asked(earlier, data) for earlier in range(number))])
        examples = mixed(learn, breaks, drafts, spec.filter.proposed, spec.harden)
        told = self._fit_told(f"generation {number}: training")
        if spec.harden.fit is None:
            net = begun(spec.filter, self.checkpoints, spec.seed)
            return train_filter(
                net, examples, spec.filter.fit, spec.seed + number, head_only=spec.filter.head_only, told=told
            )
        net, _ = filters.from_bytes((self.folder(number - 1) / "network.safetensors").read_bytes())
        return train_filter(net, examples, spec.harden.fit, spec.seed + number, told=told)

    def _fitted(self, config: FilterConfig, learn: Catastrophes, name: str) -> PolicyValueNet:
        net = begun(config, self.checkpoints, self.spec.seed)
        return train_filter(
            net, lessons(learn, config.proposed), config.fit, self.spec.seed,
            head_only=config.head_only, told=self._fit_told(f"{name}: training"),
        )  # fmt: skip

    def _fit_told(self, name: str) -> Callable[[FitProgress], None]:
        return lambda progress: self.told(name, progress.step, progress.steps)

    def _lessons(self, number: int, what: str, chosen: Callable[[Sequence[Hunt]], list[Case]]) -> Catastrophes:
        """Cases from the hunts of a generation, all their moves labelled."""
        cases = chosen([hunt for found in self._there(number).values() for hunt in found])
        path = self.folder(number) / f"{what}.parquet"
        done = 0

        def tell(more: int) -> None:
            nonlocal done
            done += more
            self.told(f"generation {number}: positions of {what} labelled", done, len(cases))

        spec = self.spec.dataset
        return labelled(self.cluster, cases, spec.nodes, spec.threshold, path, tell)

    def _asked(self, number: int, data: Catastrophes) -> Catastrophes:
        """Positions of play chosen by a generation, labelled."""
        spec, folders = self.spec, [self.folder(one) / "active" for one in range(number + 1)]
        return active.asked(
            self.cluster, data.split("train", False), (self.folder(number) / "network.safetensors").read_bytes(),
            spec.harden.active, folders[-1], folders[:-1], spec.dataset.nodes, (spec.seed, number), spec.inference,
            lambda done, of: self.told(f"generation {number}: positions asked about", done, of),
        )  # fmt: skip

    def _measured(
        self,
        net: PolicyValueNet,
        data: Catastrophes,
        name: str,
        adjusted: Callable[[list[npt.NDArray[np.float32]]], list[npt.NDArray[np.float32]]] = lambda risk: risk,
    ) -> tuple[dict[str, Calibrated], list[npt.NDArray[np.float32]]]:
        """Figures by proposer, and what the filter says of the test split."""
        spec = self.spec
        first, second = data.split("calibration"), data.split("test")
        both_parts = np.concatenate([first.packed, second.packed]), first.legal + second.legal
        everything = adjusted(risks(net, *both_parts, spec.inference))
        of_first, of_second = everything[: len(first)], everything[len(first) :]
        out = {}
        for place, proposer in enumerate(data.proposals):
            self.told(f"{name}: calibrating", place, len(data.proposals))
            tried = grid(first, of_first, proposer, spec.calibration.grid)
            both = [
                curve(part, risk, proposer, tried, spec.calibration.proposals)
                for part, risk in ((first, of_first), (second, of_second))
            ]
            rng = np.random.default_rng([spec.seed, 11])  # the same games in each draw for every filter
            out[proposer] = calibrated(both[0], both[1], spec.calibration, rng)
        self.told(f"{name}: calibrating", len(data.proposals), len(data.proposals))
        return out, of_second

    def attack(self, generation: Generation, data: Catastrophes) -> dict[str, list[Hunt]]:
        """Every attack on a filter; hunts that are there already are only read."""
        spec, number = self.spec, generation.number
        earlier = [found for one in range(number) for found in self._there(one).values()]
        examples = data.split("train")
        play = active.for_attackers(data.split("train", False), spec.harden.active)
        out: dict[str, list[Hunt]] = {}
        for place, (name, config) in enumerate(spec.attacks.items()):
            known = [one for found in earlier for one in learned(found)]
            material = Material(examples.dealt(False), play.dealt(False), spec.proposer, tuple(known))
            known = [one for found in earlier for _, one in held_back(found)]
            held = Material(examples.dealt(True), play.dealt(True), spec.proposer, tuple(known))
            folder = self.folder(number) / "attacks" / name
            folder.mkdir(parents=True, exist_ok=True)
            made = folder / "prepared.safetensors"
            if not made.exists():
                self.told(f"generation {number}: {name} prepares", 0, 1)
                content = config.attack.prepare(generation.content, material, spec.inference, spec.seed + number)
                write_whole(made, content or b"")
            ground = Ground(
                generation.content, config, spec.judge, material, held, made.read_bytes() or None,
                spec.dataset.proposers[spec.proposer], self.checkpoints, spec.inference,
            )  # fmt: skip
            done = 0

            def tell(found: Any, name: str = name, of: int = config.hunts) -> None:
                nonlocal done
                done += len(found)
                self.told(f"generation {number}: {name} hunts", done, of)

            out[name] = hunts(self.cluster, ground, (spec.seed, number, place), folder, tell)
            earlier.append(out[name])
        return out

    def _there(self, number: int) -> dict[str, list[Hunt]]:
        """Hunts of a generation that are in its folder, those of a person among them."""
        out = {}
        for name in (*self.spec.attacks, HUMAN):
            files = sorted((self.folder(number) / "attacks" / name).glob("hunts-*.jsonl"))
            if files or name != HUMAN:
                out[name] = [one for file in files for one in read(file)]
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
            self._tuning(generations[-1]).make(player, data, self._fit_told("tuned: training"))
        return self.result(generations, data, time.monotonic() - began)

    def _tuning(self, last: Generation) -> Tuning:
        """The proposer against a filter."""
        spec, path = self.spec, self.out / "tuned.safetensors"
        return Tuning(
            path, spec.proposer, last.content, last.number, spec.tuned, spec.calibration, spec.seed, spec.inference
        )

    def result(self, generations: list[Generation], data: Catastrophes, seconds: float) -> dict[str, Any]:
        """Every figure of the ladder, as JSON values; also written to `result.json`."""
        spec, test, who = self.spec, data.split("test"), self.spec.proposer
        found = [self._there(one.number) for one in generations]
        oracle = self._oracle(spec.verify.nodes if spec.verify else None)
        out: dict[str, Any] = {
            "name": spec.name,
            "engine": labelled_by(self.out / "dataset"),
            "nodes": {
                "labels": spec.dataset.nodes,
                "attacks": spec.judge.nodes,
                "again": spec.judge.again,
                "verified": oracle.nodes,
            },
            "catastrophe": spec.dataset.threshold,
            "break": spec.judge.threshold,
            "positions": {part: len(data.split(part)) for part in ("train", "calibration", "test")},
            "proposer": who,
            "seconds": seconds,
            "generations": [],
        }
        for one, there in zip(generations, found, strict=True):
            _, threshold = filters.from_bytes(one.content)
            row = self._figures(one, test)
            row["threshold"] = threshold
            asked = self.folder(one.number) / "active"
            if spec.harden.active.positions and (asked / "chosen.json").exists():
                row["active"] = active.figures(asked, self._asked(one.number, data), who)
            if spec.verify:
                self.told(f"generation {one.number}: verifying", 0, 1)
                looked = measure.verified(self.cluster, oracle, test, one.risk, who, threshold, spec.verify, spec.seed)
                row["verified"] = {name: figure.json() for name, figure in looked.items()}
            if spec.strength:
                row["strength"] = self._strength(one, spec.strength)
            row["attacks"] = {
                name: {
                    **{unit: measure.cost(hunts_, unit) for unit in measure.UNITS},
                    "breaks": sum(len(hunt.found) for hunt in hunts_),
                    "doubted": measure.doubted(hunts_).json(),
                }
                for name, hunts_ in there.items()
                if hunts_
            }
            out["generations"].append(row)
        first, last = generations[0], generations[-1]
        out["harder"] = {
            name: measure.times_cheaper(found[0][name], found[-1][name], "queries").json()
            for name in found[0]
            if len(found) > 1 and found[0][name] and found[-1].get(name)
        }
        out["cheaper"] = [measure.cheaper(there) for there in found]
        out["not_worse"] = {
            name: difference(last.measured[who], first.measured[who], name).json()
            for name in ("residual", "served_filtered", "played", "rejected")
        }
        out["cross"] = self._cross(generations, found)
        out |= self._variants(data, generations[0])
        out["shifts"] = self._shifts(generations)
        out["tuned"] = self._tuning(last).figures(test, last.risk)
        out["examples"] = [
            {"generation": one.number, "attack": name, **vars(hunt.found[0])}
            for one, there in zip(generations, found, strict=True)
            for name, hunts_ in there.items()
            for hunt in [hunt for hunt in hunts_ if hunt.found][:4]
        ]
        write_whole(self.out / "result.json", (json.dumps(out, indent=1) + "\n").encode())
        return out

    def _strength(self, one: Generation, config: StrengthConfig) -> dict[str, Any]:
        """The filtered proposer against itself without a filter."""
        spec, path = self.spec, self.folder(one.number) / "strength.json"
        self.told(f"generation {one.number}: a match behind the filter", 0, 1)
        return strength(
            self.cluster, spec.dataset.proposers[spec.proposer], self.checkpoints, one.content,
            spec.calibration.proposals, config, path, spec.seed, spec.inference,
        )  # fmt: skip

    def _figures(self, one: Generation, test: Catastrophes) -> dict[str, Any]:
        curves = {name: roc(test, one.risk, name) for name in (*test.proposals, None)}
        return {
            "generation": one.number,
            "proposers": {
                name: {
                    "threshold": measured.threshold,
                    "figures": {key: figure.json() for key, figure in measured.figures.items()},
                }
                for name, measured in one.measured.items()
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

    def _cross(self, generations: list[Generation], found: list[dict[str, list[Hunt]]]) -> list[dict[str, Any]]:
        """Share of held-back breaks of each attack on each generation that each filter lets through."""
        judges = {one.number: blunder_filter(one.content, self.spec.inference) for one in generations}
        return [
            {
                "filter": one.number,
                "attacked": attacked,
                "attack": name,
                "breaks": len(held := held_back(hunts_)),
                "let_through": measure.let_through(judges[one.number], held).json(),
            }
            for one in generations
            for attacked, there in enumerate(found)
            for name, hunts_ in there.items()
        ]

    def _shifts(self, generations: list[Generation]) -> dict[str, Any]:
        """Figures of every filter on positions of other kinds."""
        spec, filters_ = self.spec, [one.content for one in generations]
        source = shift.Source(spec.dataset, self.checkpoints, spec.inference, spec.seed)
        return shift.compare(
            self.cluster, source, spec.shifts, self.out / "shifts", filters_, spec.proposer, spec.calibration, self.told
        )

    def _variants(self, data: Catastrophes, first: Generation) -> dict[str, Any]:
        """Figures of other filters on the same data, beside those of the first one."""
        spec = self.spec
        bench = Bench(
            self.cluster, self.checkpoints, spec.inference, spec.calibration, spec.proposer, spec.seed,
            self.out / "variants", self._fitted, self._measured, self.told,
        )  # fmt: skip
        return compare(bench, spec.variants, data, first.content, first.measured[spec.proposer], first.risk)


def worker_count(spec: LadderSpec) -> int:
    """Ray workers to start."""
    return spec.workers or cores()
