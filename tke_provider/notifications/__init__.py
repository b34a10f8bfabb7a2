"""Messages to people.

Belongs here: notifiers, for Airflow's callbacks. Does not belong here: deciding what to do. DAGs may enter.
"""
