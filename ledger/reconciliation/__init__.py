"""Reconciliation: what was metered against what the providers report.

`names` says which model a provider's name means, `matching` puts both sides of a day into lines, `causes` explains a
line's difference by rule (pure), `judging` gathers the evidence for that, `effects` posts what is agreed.
"""
