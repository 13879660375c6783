"""Probes relays from this machine: an SMTP dialogue in stages, each with its outcome, time and reply."""
