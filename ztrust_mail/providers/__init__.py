"""Mail providers: the presets of a spec, and what the replies of their servers mean."""
