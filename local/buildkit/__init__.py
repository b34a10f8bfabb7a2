"""BuildKit: builds images apart from the worker and its engine.

What belongs here: the daemon, who may speak to it, and the image whose pods do. What does not: what is built.
"""
