-- The *count* titles that *model* finds nearest to a title, nearest first. BEGIN ATOMIC binds every name
-- when the function is made: nobody's search_path can change later what it means.
CREATE OR REPLACE FUNCTION media.similar_titles(title_id bigint, model text, count integer DEFAULT 10)
    RETURNS TABLE (similar_id bigint, distance double precision)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT other.title_id, other.embedding <=> this.embedding
    FROM media.title_embeddings AS this
    JOIN media.title_embeddings AS other ON other.model = this.model AND other.title_id <> this.title_id
    WHERE this.title_id = similar_titles.title_id AND this.model = similar_titles.model
    ORDER BY other.embedding <=> this.embedding
    LIMIT similar_titles.count;
END;

COMMENT ON FUNCTION media.similar_titles(bigint, text, integer) IS 'Titles like this one, nearest first.';
