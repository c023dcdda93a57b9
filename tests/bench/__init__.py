"""Measurements: the gateway beside a bare pass-through proxy on the same server and client, in one run."""
