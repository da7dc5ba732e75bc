"""What a call means, from its plan to its outcome, without any I/O.

The drivers in ``client/`` carry out what the flow asks for. Time and randomness are handed in.
"""
