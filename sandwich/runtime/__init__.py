"""What a run stands on: Ray and processes, random streams, background work, progress, whole files, opened networks."""
