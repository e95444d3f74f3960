"""The command-line tool `sameas`: runs the service, imports and exports files, shows people."""
