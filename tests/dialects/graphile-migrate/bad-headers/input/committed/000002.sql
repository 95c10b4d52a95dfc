--! Previous: -

SELECT 2;
