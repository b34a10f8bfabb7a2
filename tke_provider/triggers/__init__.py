"""Waiting without a worker.

Belongs here: triggers, which look and look again until a verdict is final. Their arguments lie in Airflow's
database as plain text, so they are ids, never credentials or endpoints. Does not belong here: changing anything,
and what a live object means (``domain``). Operators and sensors may enter.
"""
