"""The schemas of the contenders, and what their tools made of them."""
