"""One question, asked until it is answered.

Belongs here: sensors, which ask what the operators ask, through the same functions. DAGs may enter.
"""
