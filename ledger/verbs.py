"""The verbs of the ledger's history, in words."""

VERBS = {
    "period.closing": "Began to close",
    "period.closed": "Closed",
    "period.open": "Opened again",
    "period.accept": "Accepted an open item",
    "period.reopen_ask": "Asked to reopen",
    "period.reopen_granted": "Granted the reopening",
    "period.reopen_refused": "Refused the reopening",
}
