"""The journal: what each run wrote, by whom, and the settings before it."""
