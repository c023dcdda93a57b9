-- Which models a key may call is part of what gateways remember of it.
CREATE TRIGGER catalogue_changed AFTER INSERT OR UPDATE OR DELETE ON allocations_quotakey_models
    FOR EACH STATEMENT EXECUTE FUNCTION allocations_catalogue_changed();
