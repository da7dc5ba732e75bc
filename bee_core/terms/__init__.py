"""The terms of bee: requests, nodes, failures, addresses, versions, back-off.

All other rooms use them. They import nothing of bee but its errors, and do no I/O.
"""
