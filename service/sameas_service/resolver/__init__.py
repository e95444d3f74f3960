"""The incremental twin of the rules: what one more message changes, given a few facts."""
