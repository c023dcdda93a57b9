"""The verbs of the history of allocations and keys, in words."""

VERBS = {
    "allocation.create": "Given",
    "allocation.activate": "Started",
    "allocation.suspend": "Suspended",
    "allocation.resume": "Resumed",
    "allocation.expire": "Ended",
    "allocation.return": "Gave back what was not spent",
    "hold.release": "Released what lost calls held",
    "hold.charge": "Charged lost calls by hand",
    "key.issue": "Issued",
    "key.rotate": "New secret",
    "key.limits_set": "Limits changed",
    "key.models_set": "Models changed",
    "key.suspend": "Suspended",
    "key.resume": "Resumed",
    "key.revoke": "Revoked",
}
