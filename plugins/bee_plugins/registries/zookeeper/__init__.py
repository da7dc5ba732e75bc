"""Registry ``zookeeper``, also called ``zk``: instances are ephemeral znodes."""
