"""The sandbox provider: deterministic answers with real usage in both dialects, for trying a key for free."""
