"""What stands in, for other programs that tests run, for parts of theirs that cannot be had everywhere."""
