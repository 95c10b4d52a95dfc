--! Previous: sha1:d30d858bf9fa5d8979af2d32c3be5e09b07da877
--! Hash: sha1:36d26d034e5ea0e30f2e8c93bdbf66399902b1ed

SELECT 2;
