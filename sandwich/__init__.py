"""The sandwiching protocol: a weak player, a misaligned assistant, and the measuring of both."""
