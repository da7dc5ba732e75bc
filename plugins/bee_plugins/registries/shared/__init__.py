"""What several registries use: records, lists of nodes, names, addresses, TLS."""
