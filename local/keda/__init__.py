"""KEDA's operator, compiled from its Go module: somebody else who writes sizes, beside the product.

Belongs here: the module's pinned versions, and how the operator is run and taken away again. It takes long to compile
and is up only on request; most tests use objects as it writes them.
"""
