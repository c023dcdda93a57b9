"""Processes: how Tank's own are started, kept alive, ended, and asked how they are."""
