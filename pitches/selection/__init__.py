"""The exact choice of what a round funds: pure Python, which knows neither the database nor Django.

`problem` says what is chosen from, `exact` chooses with HiGHS, `programme` checks that with an integer dynamic
programme, `greedy` and `shares` are what a board compares it with, `explain` says why, `session` answers a slider,
`documents` reads and writes the JSON.
"""
