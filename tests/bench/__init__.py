"""Benches: what `make bench` measures, each as a ratio to a limit measured in the same run."""
