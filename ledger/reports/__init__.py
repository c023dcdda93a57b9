"""The reports of the ledger, and the one description that pages, exports and the API are made from."""
