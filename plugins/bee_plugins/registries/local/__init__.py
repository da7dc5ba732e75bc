"""Registry ``local``: the processes of one user on one machine find each other in a folder."""
