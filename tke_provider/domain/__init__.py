"""What things mean: values and verdicts.

Belongs here: data classes, and pure functions from values to values. Does not belong here: reading or writing
anything, looking at the clock, Airflow, or any client library. Everybody may enter; this room knows only
``exceptions``.
"""
