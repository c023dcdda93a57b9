"""Reads of rounds, pitches and the committee's work."""
