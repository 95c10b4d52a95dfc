--! Previous: -
--! Hash: sha1:d30d858bf9fa5d8979af2d32c3be5e09b07da877

SELECT 1;
