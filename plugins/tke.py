"""For an AIRFLOW_HOME that is this checkout: ``pip install -e .`` and Airflow has the provider and its plugin.

The plugin is registered by its entry point. Importing the class here would register it a second time, which Airflow
reports as an import error; importing the module says at once, in Airflow's plugin page, if the installation is missing.
"""

import tke_provider.plugin as _  # noqa: F401
