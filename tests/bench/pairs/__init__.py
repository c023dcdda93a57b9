"""A bare pass-through proxy for each pair of an HTTP server and an HTTP client, to choose ours by.

It runs in an environment of its own, which has nothing of Tank's.
"""
