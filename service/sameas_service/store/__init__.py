"""Stores: where the ledger and what is derived from it are kept."""
