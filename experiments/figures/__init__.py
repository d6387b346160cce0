"""Pictures and pages: charts of runs and sweeps, the report, one game, the high-stakes report."""

import sandwich  # noqa: F401  it says where matplotlib keeps its list of fonts, which matplotlib reads when imported
