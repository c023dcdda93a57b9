"""The verbs of the history of allocations and keys, in words."""

VERBS = {
    "key.issue": "Issued",
    "key.rotate": "New secret",
    "key.cap_set": "Cap changed",
    "key.suspend": "Suspended",
    "key.resume": "Resumed",
    "key.revoke": "Revoked",
}
