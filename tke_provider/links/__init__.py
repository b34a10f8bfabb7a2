"""Where a person looks further: pages of the Tencent Cloud console, and reports that a task has kept.

Belongs here: extra links, computed from what the operator knows. Does not belong here: any call. Operators may enter.
"""
