SELECT '${who}', '${flyway:filename}';
