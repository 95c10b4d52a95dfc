-- Nearest neighbours by cosine distance: ORDER BY embedding <=> $1 LIMIT 10
CREATE INDEX CONCURRENTLY title_embeddings_embedding_idx ON media.title_embeddings
    USING hnsw (embedding vector_cosine_ops);
