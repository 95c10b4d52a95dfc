DROP TABLE media.title_embeddings;
