-- An e-mail's key and reader never change, and nothing is deleted.
REVOKE UPDATE, DELETE, TRUNCATE ON teams_outgoingmail FROM tank_app;
GRANT UPDATE (state, attempts, next_attempt_at, sent_at, last_error) ON teams_outgoingmail TO tank_app;
