"""Forms of teams and of the committee."""
