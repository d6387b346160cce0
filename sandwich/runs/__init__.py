"""One run from its spec to its folder: the outer loop, controls, provenance, metrics, tracking."""
