"""Runs a job's training in a process of its own: supervisor on one side (no torch), child on the other."""
