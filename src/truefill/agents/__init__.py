"""Learners. Each is one file that reads as its algorithm."""
