"""Pages of teams: rounds, pitches, offers. The committee works in `pitches.admin`."""
