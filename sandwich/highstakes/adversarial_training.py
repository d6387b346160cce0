"""Adversarial training, stage by stage: a filter is trained, attacked, hardened and attacked again.

Every stage is whole files; `sandwich.highstakes.outcome` makes the figures of them:

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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from agents.checkpoint_files import read_checkpoints
from engines import filter as filters
from engines.network import PolicyValueNet
from engines.settings import SpecError
from sandwich.evaluation.oracle import Oracle
from sandwich.highstakes import active, resume, shift
from sandwich.highstakes.attack_runs import HUMAN, AttackJobContext, AttackRun, attack_runs, prepared, read
from sandwich.highstakes.calibrate import Calibrated, calibrated, curve, grid
from sandwich.highstakes.catastrophes import Catastrophes, labelled_by
from sandwich.highstakes.dataset import make_dataset
from sandwich.highstakes.environment import AttackData
from sandwich.highstakes.fit import FilterConfig, VerdictFit, lessons, risks, train_filter
from sandwich.highstakes.harden import Case, draft_cases, example_cases, held_back, labelled, learned, mixed
from sandwich.highstakes.spec import HighStakesSpec
from sandwich.highstakes.variants import begun
from sandwich.runtime.cluster import Cluster, cores
from sandwich.runtime.kept import (
    DamagedError,
    check,
    keep_checksums,
    missing,
    read_kept,
    read_settings,
    write_kept,
)
from sandwich.runtime.origin import claim
from sandwich.runtime.progress import NO_PROGRESS, Prefixed, ProgressReporter
from sandwich.runtime.rng import RngStream, make_rng, make_seed
from sandwich.training.examples import FitReporter

Risks = list[npt.NDArray[np.float32]]
"""For each position `[M]`, a filter's probability that each legal move is a catastrophe."""


@dataclass(frozen=True, eq=False)
class Generation:
    """A filter of the experiment: its file, and what it says of the calibration and of the test split."""

    number: int
    content: bytes
    calibration_risk: Risks
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
        before, now = labelled_by(folder), self.oracle(spec.dataset.nodes).identity
        if before and now and before != now:
            raise SpecError(f"{self.out} was begun with {before}, here is {now}: choose another folder, or that engine")
        if now:
            folder.mkdir(parents=True, exist_ok=True)
            claim(folder, now, begun=before is not None)
        return make_dataset(self.cluster, spec.dataset, self.checkpoints, spec.inference, folder, self.progress)

    def oracle(self, nodes: int | None) -> Oracle:
        return Oracle(nodes, self.out / "oracle.sqlite")

    def generation(self, number: int, data: Catastrophes) -> Generation:
        """A filter, trained and calibrated where it is missing; needs the attacks on those before it."""
        folder = self.folder(number)
        folder.mkdir(parents=True, exist_ok=True)
        trained, ready = folder / "network.safetensors", folder / "filter.safetensors"
        if not trained.exists():
            write_kept(trained, filters.to_bytes(self._trained(number, data), 0.5))
        net, _ = filters.from_bytes(read_kept(trained), str(trained))
        measured, calibration_risk, risk = self.measured(net, data, f"generation {number}")
        if not ready.exists():
            about = {"spec": self.spec.model_dump(mode="json"), "generation": number}
            write_kept(ready, filters.to_bytes(net, measured[self.spec.proposer].threshold, about))
        return Generation(number, read_kept(ready), calibration_risk, risk, measured)

    def folder(self, number: int) -> Path:
        """Where a generation is."""
        return self.out / f"generation-{number}"

    def _trained(self, number: int, data: Catastrophes) -> PolicyValueNet:
        spec, learn = self.spec, data.split("train")
        if number == 0:
            return self.fitted(spec.filter, learn, "filter")
        attacked = [self._labelled(earlier, "adversarial_examples", example_cases) for earlier in range(number)]
        wanted = range(number) if spec.harden.drafts else ()
        drafts = [self._labelled(earlier, "drafts", draft_cases) for earlier in wanted]
        if spec.harden.active.positions:
            learn = active.joined([learn, *(self.asked(earlier, data) for earlier in range(number))])
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

    def fitted(self, config: FilterConfig, learn: Catastrophes, name: str) -> PolicyValueNet:
        """A filter as its settings begin it, trained on labelled positions; `name` is shown with the progress."""
        net = begun(config, self.checkpoints, self.spec.seed)
        return train_filter(
            net, lessons(learn, config.proposed), config.fit, self.spec.seed,
            head_only=config.head_only, on_progress=FitReporter(self.progress, f"{name}: training"),
        )  # fmt: skip

    def _labelled(self, number: int, what: str, chosen: Callable[[Sequence[AttackRun]], list[Case]]) -> Catastrophes:
        """Cases from the attack runs of a generation, all their moves labelled."""
        cases = chosen([run for runs in self.runs(number).values() for run in runs])
        path = self.folder(number) / f"{what}.parquet"
        progress = Prefixed(self.progress, f"generation {number}: {what.replace('_', ' ')}: ")
        spec = self.spec.dataset
        return labelled(self.cluster, cases, spec.nodes, spec.threshold, path, progress)

    def asked(self, number: int, data: Catastrophes) -> Catastrophes:
        """Positions of play chosen by a generation, labelled."""
        spec, folders = self.spec, [self.folder(earlier) / "active" for earlier in range(number + 1)]
        return active.asked(
            self.cluster, data.split("train", False), read_kept(self.folder(number) / "network.safetensors"),
            spec.harden.active, folders[-1], folders[:-1], spec.dataset.nodes, (spec.seed, number), spec.inference,
            Prefixed(self.progress, f"generation {number}: "),
        )  # fmt: skip

    def measured(
        self,
        net: PolicyValueNet,
        data: Catastrophes,
        name: str,
        adjusted: Callable[[Risks], Risks] = lambda risk: risk,
    ) -> tuple[dict[str, Calibrated], Risks, Risks]:
        """Figures by proposer, and what the filter says of the calibration and of the test split."""
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
        return out, of_first, of_second

    def attack(self, generation: Generation, data: Catastrophes) -> dict[str, list[AttackRun]]:
        """Every attack on a filter; runs that are there already are only read."""
        spec, number = self.spec, generation.number
        earlier = [runs for before in range(number) for runs in self.runs(before).values()]
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

    def runs(self, number: int) -> dict[str, list[AttackRun]]:
        """Attack runs of a generation that are in its folder, those of a person among them."""
        out = {}
        for name in (*self.spec.attacks, HUMAN):
            files = sorted((self.folder(number) / "attacks" / name).glob("runs-*.jsonl"))
            if files or name != HUMAN:
                out[name] = [run for file in files for run in read(file)]
        return out

    def everything(self) -> tuple[list[Generation], Catastrophes]:
        """Every filter, each attacked, and the labelled positions; what is there already is only read."""
        for name, source in self.spec.shifts.items():
            shift.check(name, source, self.out / "shifts" / name)
        data = self.dataset()
        generations = []
        for number in range(self.spec.harden.rounds + 1):
            generations.append(self.generation(number, data))
            self.attack(generations[-1], data)
        return generations, data


def worker_count(spec: HighStakesSpec) -> int:
    """Ray workers to start."""
    return spec.workers or cores()
