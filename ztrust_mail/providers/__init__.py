"""Mail providers: the presets of a spec, and the meaning of their servers' replies."""
