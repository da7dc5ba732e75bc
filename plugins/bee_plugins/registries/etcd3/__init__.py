"""Registry ``etcd3``: instances are keys in etcd that live by leases."""
