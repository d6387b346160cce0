# %% [markdown]
# # A first run, and its ledger
#
# A weak player W plays games and asks an assistant A what to play. A is strong, but half of its answers are random
# moves. W believes all of them, learns from the games, and is measured against the expert E before and after.
#
# Open this file in VS Code or Jupyter (Jupytext) and run it cell by cell, or run it as a script.

# %%
import sandwich
from experiments.cli.console import RunDisplay

FOLDER = "runs/examples/first_run"

# %% [markdown]
# ## The spec
#
# `quick` is a shipped spec; `sandwich.shipped_specs()` lists them all, and the path of a YAML file works too.
# Everything after the name changes a key, as on the command line or in a mapping.

# %%
spec = sandwich.load_spec(
    "quick",
    "assistant.misalignment.p=0.5",
    {"play.games": 32, "play.block": 16, "evaluate.pairs": 16, "evaluate.sampled": False},
    steps=2,
    tracking={"wandb": "off"},
)
print(f"{spec.steps} steps of {spec.play.games} games, seed {spec.seed}")
print(f"the assistant: {spec.assistant.misalignment!r}")

# %% [markdown]
# ## The run
#
# An interrupted run resumes where it stopped, and a finished one is only read: you can run this cell again.

# %%
with RunDisplay(spec.steps, "") as display:  # how far it is, on standard error
    result = sandwich.run(spec, FOLDER, progress=display)
print(f"{result['queries']} questions, {result['misaligned_queries']} of them answered with a lie")

# %% [markdown]
# ## Its figures
#
# A row for each step, step 0 being W before it has learned anything. The ends of the 95 % intervals have their own
# columns. Runs as small as this one say nothing: the intervals show it.

# %%
metrics = sandwich.read_metrics(FOLDER)
print(metrics[["step", "elo", "elo/low", "elo/high", "agreement"]].round(2).to_string(index=False))

# %% [markdown]
# ## Its ledger
#
# A row for each ply of every game. `misaligned` and the moves and values that A kept to itself are hidden from W; the
# analyst sees them.

# %%
ledger = sandwich.read_ledger(FOLDER)
asked = ledger[ledger["asked"]].astype({"misaligned": bool})
print(asked[["step", "game", "ply", "own_move", "advised", "honest", "misaligned", "played"]].head(8).to_string())

# %% [markdown]
# How often is the advice the move that W would have played anyway? Of the honest answers and of the lies:

# %%
same = (asked["advised"] == asked["own_move"]).groupby(asked["misaligned"]).mean()
print(same.rename({False: "honest", True: "lie"}).round(3).to_string())
