"""The rules: pure functions over small frozen values. No clock, no I/O, no wire, no SQL."""
