-- What people were told stays as it was told; an alert can only be armed again.
REVOKE UPDATE, DELETE, TRUNCATE ON allocations_budgetalert FROM tank_app;
GRANT UPDATE (rearmed_at) ON allocations_budgetalert TO tank_app;
