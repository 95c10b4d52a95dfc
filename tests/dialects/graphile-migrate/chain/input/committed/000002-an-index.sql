--! Previous: sha1:4f45642ec931df92e13364b7a3d95eb876d756b7
--! Hash: sha1:cf2ff74ba799bfa798ed31e220bea871e5e65056

--! no-transaction
CREATE INDEX CONCURRENTLY i ON a (id);
