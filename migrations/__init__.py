"""The history of the database schema; ``bitcache_server.models.migrate`` runs it."""
