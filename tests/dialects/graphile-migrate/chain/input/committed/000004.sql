--! Previous: sha1:35b6cc6e2e9b540414abf14a3edebacb9fb24f54
--! Hash: sha1:abfd52d3d65721dfed594c9559a8df354ae32371

SELECT ':NOBODY';
