"""Pages of the ledger, one module per part of it."""
