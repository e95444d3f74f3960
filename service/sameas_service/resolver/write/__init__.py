"""Use cases that write: a group of messages goes into the ledger, in one transaction."""
