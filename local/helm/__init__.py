"""Helm: the program that the emulator answers TKE's release API with.

What belongs here: where it comes from. What does not: releases, which the emulator makes when it is asked to.
"""
