"""Who acts: players made of networks, and the assistant that may be misaligned."""
