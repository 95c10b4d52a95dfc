DROP TABLE media.credits;
DROP TABLE media.people;
DROP TYPE media.credit_role;
