"""Where a person looks further: pages of the Tencent Cloud console.

Belongs here: extra links, computed from ids alone. Does not belong here: any call. Operators may enter.
"""
