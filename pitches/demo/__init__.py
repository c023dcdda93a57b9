"""An invented company to look around in: Otterbridge Mutual, which does not exist.

Everything is made by the services that people use, as the person whose task it is. Two things cannot be: usage of the
past two weeks, whose time is in the past, and deadlines that lie behind us.
"""
