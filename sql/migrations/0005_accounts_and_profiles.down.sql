DROP TABLE media.profiles;
DROP TABLE media.accounts;
