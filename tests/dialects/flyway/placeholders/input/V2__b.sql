SELECT 1;
SELECT '${nobody}';
