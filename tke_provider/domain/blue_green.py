"""Blue and green: the old version and the new one, side by side at full size."""

from __future__ import annotations

GREEN = "green"
"""The track of the new version's objects."""

SWITCHED, KEPT, TAKEN = 1, 2, 3
"""The steps that are done: Services lead to green; blue was kept for long enough; blue is being replaced."""
