-- By now profiles is busy. A nullable column without a default is only a note in the catalogue, and a
-- foreign key that is NOT VALID is checked for new rows from here on without reading the old ones, so
-- both locks are held for an instant. The next file checks the old rows.
ALTER TABLE media.profiles ADD COLUMN favourite_genre_id integer;

ALTER TABLE media.profiles ADD CONSTRAINT profiles_favourite_genre_id_fkey
    FOREIGN KEY (favourite_genre_id) REFERENCES media.genres ON DELETE SET NULL NOT VALID;
