"""The metering hook: admit a call only if its worst cost fits, record what it really cost.

`Meter` is the whole interface; `allocations/sql/metering.sql` is the door behind it.
"""

LAPSE_AFTER_SECONDS = 10
"""A process without a heartbeat for this long has gone; its holds become unsettled."""
