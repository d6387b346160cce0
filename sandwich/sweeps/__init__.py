"""Many runs: sweeps, what they cost, what came of them, and strategies side by side."""
