"""The viewer: pages of a run or a sweep, served on loopback or written as one file (docs/how-to/viewer.md)."""
