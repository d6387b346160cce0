# %% [markdown]
# # A sweep, and its dose–response
#
# A sweep is many runs that differ in a few keys, such as the dose of a misalignment and the seed. Each is done once:
# relaunching reuses finished runs, and adding a dose runs only the new ones.

# %%
from pathlib import Path

import sandwich
from experiments.figures.dose_response import response
from sandwich.sweeps.planning import planned
from sandwich.sweeps.results import curves, points

FOLDER = Path("runs/examples/dose")
DOSE = "assistant.misalignment.p"

# %% [markdown]
# ## The spec
#
# `dose_smoke` is a shipped one: it says what a single run is, and which keys take which values.

# %%
spec = sandwich.load_sweep(
    "dose_smoke",
    {f"over.{DOSE}": [0, 1], "over.seed": [0]},
    {"fixed.play.games": 48, "fixed.play.block": 24, "fixed.evaluate.positions": 20, "fixed.evaluate.nodes": None},
    {"fixed.evaluate.sampled": False, "fixed.evaluate.assistant": False, "fixed.evaluate.ledger_positions": None},
    {"fixed.tracking.wandb": "off"},
)
print(f"{spec.name}: {len(list(spec.combinations()))} runs over {', '.join(spec.over)}")

# %% [markdown]
# ## Its runs
#
# As many at once as there are cores. A row for each of them comes back; `sandwich.read_sweep(FOLDER)` reads the same
# later, or meanwhile in another notebook.

# %%
cells = sandwich.sweep(spec, FOLDER)
print(cells[["cell", DOSE, "state", "pgr", "pgr/low", "pgr/high"]].round(2).to_string(index=False))

# %% [markdown]
# ## Dose and response
#
# Points that differ in their seed alone are one point of the curve. With three seeds and more its interval covers the
# luck of training too; with one seed only that of the games.

# %%
drawn = curves(points(planned(FOLDER)[1]), DOSE)
for curve in drawn:
    for dose, figure in zip(curve.doses, curve.figures, strict=True):
        print(f"p = {dose:g}: PGR {figure.value if figure.value is None else round(figure.value, 2)} {figure.reason}")
    print(curve.break_even_text)
print("Figure:", *response(drawn, DOSE, FOLDER / "response"))
