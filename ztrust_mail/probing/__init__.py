"""The client's own look at a relay: an SMTP dialogue in stages, each with its outcome, time and reply."""
