INSERT INTO "notes" ("body") VALUES ('The schema was ready before the app was.');
