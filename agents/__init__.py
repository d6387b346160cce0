"""Who acts: players, the assistant that may be misaligned, the plugins of both, and UCI for real chess programs."""
