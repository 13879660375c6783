"""The journal: what was written, by whom, and what stood there before."""
