"""Gitea: a real Git host with users, tokens, smart HTTP and webhooks.

What belongs here: the program, its server, and the little of its API that the stack needs. What does not: what is
pushed to it (``local.shop``).
"""
