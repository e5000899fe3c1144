"""What the engines on log-structured merge trees share: RocksDB and LevelDB."""
