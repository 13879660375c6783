"""Work that is left to workers: a command submits requests and follows them; the log of a worker."""
