"""Sequences that are drawn rather than read, a file a kind: functions of a NumPy generator and sizes alone."""
