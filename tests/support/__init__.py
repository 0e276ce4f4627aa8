"""Real parts for the tests: databases, nodes, servers."""
