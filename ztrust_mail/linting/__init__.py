"""Lint: rules about valid settings that may not work, or that expose a secret; which of them count, and baselines."""
