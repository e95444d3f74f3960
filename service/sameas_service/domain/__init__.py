"""The rules: functions of their arguments alone. No clock, no I/O, no wire, no SQL."""
