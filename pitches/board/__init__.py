"""What the board asks of the exact choice: warm answers, reasons in words, prices. Nothing here is stored."""
