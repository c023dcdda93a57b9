-- Token limits and rates of keys are set by services; what is spent, held or counted stays the metering functions' own.
GRANT UPDATE (token_limit, requests_per_minute, tokens_per_minute, calls_at_once) ON allocations_quota TO tank_app;
