-- A delivery says what was sent to whom: only how far it got may change, and nothing is deleted.
REVOKE UPDATE, DELETE, TRUNCATE ON teams_webhookdelivery FROM tank_app;
GRANT UPDATE (state, attempts, next_attempt_at, last_attempt_at, last_status, last_error)
    ON teams_webhookdelivery TO tank_app;
REVOKE DELETE, TRUNCATE ON teams_webhook FROM tank_app;
