"""The control plane: what learns of nodes, probes them and keeps registrations alive, beside the calls and never in their way."""
