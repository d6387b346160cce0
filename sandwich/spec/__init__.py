"""The spec of a run: its keys, when the student asks, and how YAML and overrides become it."""
