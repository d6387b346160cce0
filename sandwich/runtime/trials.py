"""Trials: pieces of work that spread jobs of their own over the cluster, as Ray Tune knows them."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sandwich.runtime.cluster import LOOK, Cluster, Resources, resource, split
from sandwich.runtime.machines import Machines

Report = Callable[[dict[str, Any]], None]
"""Takes what a trial has to say on its way."""

TUNE = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""What Tune reads from the environment alone: trials stay in the folder they are in, and nothing is logged."""


def run_trials(
    cluster: Cluster,
    function: Callable[[Any, str, Report], None],
    shared: Any,
    names: Sequence[str],
    *,
    workers: int,
    each: Resources,
    retries: int,
    scratch: Path,
    on_result: Callable[[str, dict[str, Any]], None],
) -> dict[str, str]:
    """`function(shared, name, report)` for each name, as Ray Tune trials; why each failed that did in the end.

    A trial has room for `workers` of its own `Cluster` jobs, in one placement group on one machine where that is
    possible; as many run at once as the cluster has room for, whose machines may come and go.
    each: what each of those workers asks for. on_result: hears what trials report.
    One that fails, or whose process dies, is tried again `retries` times; the others go on.
    scratch: a folder of which nothing is needed afterwards.
    """
    cluster.start()
    os.environ.update(TUNE)
    import ray
    from ray import tune

    machines = Machines(cluster.tell)
    looked = 0.0

    class Hearing(tune.Callback):
        def __reduce__(self) -> tuple[Any, ...]:
            return tune.Callback, ()  # Tune writes its callbacks down, and what listens here may hold a terminal

        def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
            nonlocal looked
            if time.monotonic() - looked > LOOK:
                machines.look()
                looked = time.monotonic()

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
            on_result(trial.config["name"], result)

    place = ray.put(shared)

    def trial(config: dict[str, Any]) -> None:
        function(ray.get(place), config["name"], tune.report)

    at_once = max(1, min(len(names), int(resource("CPU") // (workers * each.cpus))))
    gpu = split(resource("GPU"), at_once * (workers + 1)) if each.gpus is None else each.gpus
    own: dict[str, float] = {"GPU": gpu} if gpu else {}  # a trial learns on a share of its own
    bundles = [own, *({"CPU": each.cpus, **own} for _ in range(workers))]
    results = tune.Tuner(
        tune.with_resources(trial, tune.PlacementGroupFactory(bundles)),
        param_space={"name": tune.grid_search(list(names))},
        tune_config=tune.TuneConfig(
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.config["name"],
            trial_dirname_creator=lambda trial: trial.config["name"],
        ),
        run_config=tune.RunConfig(
            name="trials", storage_path=str(scratch.resolve()), verbose=0, callbacks=[Hearing()],
            failure_config=tune.FailureConfig(max_failures=retries),
        ),
    ).fit()  # fmt: skip
    return {
        result.config["name"]: " ".join(str(result.error).split())[-300:]
        for result in map(results.__getitem__, range(len(results)))
        if result.error and result.config
    }
