"""Simulated nodes beside the real one, for node pools and scale.

What belongs here: the controller that makes them look alive. What does not: the nodes themselves, which whoever plays
the cloud creates, with the annotation ``kwok.x-k8s.io/node: fake`` and a taint that keeps real pods away.
"""
