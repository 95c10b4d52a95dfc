DROP TRIGGER profiles_touch_updated_at ON media.profiles;
DROP TRIGGER accounts_touch_updated_at ON media.accounts;
DROP TRIGGER titles_touch_updated_at ON media.titles;
DROP FUNCTION media.touch_updated_at();
