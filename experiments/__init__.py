"""Where choices are combined: the command line, the shipped specs, the report."""
