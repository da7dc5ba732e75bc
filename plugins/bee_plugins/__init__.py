"""The plugins that bee brings, by kind.

They come in by the same entry points as anybody's. Import paths below this package are private: the names of the entry points are the contract.
"""
