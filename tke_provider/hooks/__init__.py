"""From an Airflow connection to a client.

Belongs here: reading connections, masking their secrets, and building clients from them. Does not belong here:
calls (``clients``) and meaning (``domain``). Triggers and the rooms above may enter.
"""
