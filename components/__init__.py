"""The parts of the registry: typed arguments in, typed outputs out; none knows of stacks or settings."""
