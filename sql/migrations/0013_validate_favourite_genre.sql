-- A file of its own, and so a transaction of its own: validating reads the whole table under a lock that
-- readers and writers do not notice. In one transaction with ADD CONSTRAINT it would read under that one's.
ALTER TABLE media.profiles VALIDATE CONSTRAINT profiles_favourite_genre_id_fkey;

-- Deleting a genre looks for the profiles that like it. pgready commits what stands above, then runs this alone.
CREATE INDEX CONCURRENTLY profiles_favourite_genre_id_idx ON media.profiles (favourite_genre_id)
    WHERE favourite_genre_id IS NOT NULL;
