"""High-stakes reliability: a filter that must let no catastrophe through, and the attacks that try."""
