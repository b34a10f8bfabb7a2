"""One task, one change.

Belongs here: operators, whose ``change`` is a coroutine over hooks' clients. Does not belong here: loops that
wait (``triggers``), and what a live object means (``domain``). Recipes and DAGs may enter.
"""
