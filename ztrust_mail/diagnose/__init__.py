"""Finding out why something does not work: the server's own test call, and the doctor."""
