--! Previous: sha1:cf2ff74ba799bfa798ed31e220bea871e5e65056
--! Hash: sha1:35b6cc6e2e9b540414abf14a3edebacb9fb24f54

GRANT SELECT ON a TO :DATABASE_OWNER;
