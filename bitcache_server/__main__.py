"""``python -m bitcache_server`` is the command ``bitcache``."""

from bitcache_server.cli import main

if __name__ == "__main__":
    main(prog_name="bitcache")
