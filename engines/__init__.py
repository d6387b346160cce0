"""What a position is, and what it is worth: rules, networks and chess engines."""
