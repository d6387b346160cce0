"""The testbed's figures: values with their 95 % intervals, or the reason why there is none.

Formulas and their sources stand in each function; `benchmarks/coverage.py` measures how often the
intervals hold what they promise.
"""

from sandwich.statistics.agreement import kendall_figure, tau_b
from sandwich.statistics.elo import elo, elo_figure, expected_score, score_figure
from sandwich.statistics.extremes import tail_figure
from sandwich.statistics.figure import Figure, Floats
from sandwich.statistics.means import mean_figure
from sandwich.statistics.multiple import holm
from sandwich.statistics.power import POWER, Components, components, pooled
from sandwich.statistics.rates import Side, clustered_share_figure, rare_share_figure, share_figure, stratified_figure
from sandwich.statistics.recovered import (
    ENOUGH,
    SEEDS,
    few_figure,
    pgr_difference_figure,
    pgr_figure,
    pgr_run_difference_figure,
    pgr_seeds_figure,
    quotient_figure,
    ratio_figure,
    retained_figure,
    retained_run_figure,
    seeds_figure,
)
from sandwich.statistics.roc import Ranking, auc, auc_figure
from sandwich.statistics.splitting import Chain, Splitting, splitting, splitting_figure
from sandwich.statistics.sprt import Reached, Sprt, Verdict
from sandwich.statistics.survival import break_rate_figure, survival_curve, survival_figure

__all__ = [
    "ENOUGH",
    "POWER",
    "SEEDS",
    "Chain",
    "Components",
    "Figure",
    "Floats",
    "Ranking",
    "Reached",
    "Side",
    "Splitting",
    "Sprt",
    "Verdict",
    "auc",
    "auc_figure",
    "break_rate_figure",
    "clustered_share_figure",
    "components",
    "elo",
    "elo_figure",
    "expected_score",
    "few_figure",
    "holm",
    "kendall_figure",
    "mean_figure",
    "pgr_difference_figure",
    "pgr_figure",
    "pgr_run_difference_figure",
    "pgr_seeds_figure",
    "pooled",
    "quotient_figure",
    "rare_share_figure",
    "ratio_figure",
    "retained_figure",
    "retained_run_figure",
    "score_figure",
    "seeds_figure",
    "share_figure",
    "splitting",
    "splitting_figure",
    "stratified_figure",
    "survival_curve",
    "survival_figure",
    "tail_figure",
    "tau_b",
]
