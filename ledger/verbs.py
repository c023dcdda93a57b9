"""The verbs of the ledger's history, in words."""

VERBS = {
    "line_decision.propose": "Decided about lines of reconciliation",
    "line_decision.approved": "Approved",
    "line_decision.refused": "Refused",
    "line_decision.withdrawn": "Withdrew",
    "reconciliation.policy": "Set what may pass",
    "provider_key.gateway": "Said that it is Tank's own",
    "provider_key.claimed": "Said whose it is",
    "provider_key.unknown": "Said that nobody knows whose it is",
    "model_name.settle": "Said which model it means",
    "period.closing": "Began to close",
    "period.closed": "Closed",
    "period.open": "Opened again",
    "period.accept": "Accepted an open item",
    "period.reopen_ask": "Asked to reopen",
    "period.reopen_granted": "Granted the reopening",
    "period.reopen_refused": "Refused the reopening",
}
