"""`python -m sameas_service` is the command `sameas`."""

from sameas_service.cli.app import app

app()
