"""The command-line tool `sameas`: runs the service, imports files, shows people."""
