-- Finds the last write of a realm without reading its whole history.
CREATE INDEX writes_by_realm ON writes (server, realm, step, run);
