"""Maintenance: what the derived tables must hold, whether they do, and making them so."""
