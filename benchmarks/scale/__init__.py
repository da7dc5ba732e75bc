"""What grows: workers, nodes, connections, threads, bodies. Each module is a program of its own."""
