"""Instructions a call: a figure that a busy machine does not change.

Wall clocks and processor time differ by tens of per cent from run to run. The number of machine
instructions of a call repeats within a fraction of one. So a committed table holds it, relative to
the bare protocol's, and CI compares: no change makes a call dearer without anyone noticing.

``scripted`` is the other end, ``programs`` runs under valgrind, ``counting`` runs it, ``table``
compares.
"""
