"""Pictures and pages: charts of runs and sweeps, the report, one game, the high-stakes report."""
