-- updated_at is the database's to keep: a client that forgets it, or an UPDATE by hand, cannot leave it stale.
CREATE FUNCTION media.touch_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    -- An empty search_path: whoever may create objects elsewhere cannot slip theirs in.
    SET search_path = ''
AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END;
$$;

CREATE TRIGGER titles_touch_updated_at BEFORE UPDATE ON media.titles
    FOR EACH ROW EXECUTE FUNCTION media.touch_updated_at();

CREATE TRIGGER accounts_touch_updated_at BEFORE UPDATE ON media.accounts
    FOR EACH ROW EXECUTE FUNCTION media.touch_updated_at();

CREATE TRIGGER profiles_touch_updated_at BEFORE UPDATE ON media.profiles
    FOR EACH ROW EXECUTE FUNCTION media.touch_updated_at();
