"""The metering hook for whoever does not call through our gateway: admit, settle and void, by the caller's own id.

What may be called, what is held, what it costs and what a caller is told are the gateway's own rules, run here on
Django's connection. Nothing is remembered between calls.
"""
