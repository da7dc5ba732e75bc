"""What the field calls things: requests, nodes, failures, addresses, versions, back-off.

Everything else of bee stands on these words. They import nothing of bee but its errors, and do no
I/O.
"""
