"""The viewer: pages of a run or a sweep, served on loopback or written as one file. docs/viewer.md shows them."""
