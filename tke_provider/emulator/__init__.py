"""A Tencent Cloud on this machine, for tests and demos: the one part of the stack that cannot be had otherwise.

What belongs here: the API front (signature, validation, envelope), the state of the emulated resources, and one
module per remote service and API version, named after it. What does not: anything of the provider. The emulator
imports no other room of ``tke_provider`` and none imports it, so that Tencent's own clients, not ours, decide
whether it is right. It is started as a program::

    python -m tke_provider.emulator --port 5000 --kubeconfig ~/.kube/config --registry http://127.0.0.1:5001

Flags, actions and the remote control: ``docs/emulator.md``. It needs ``pip install 'airflow-provider-tke[emulator]'``:
requests are checked against the API metadata that Tencent publishes in its command line client, ``tccli``.

Where to look:

=======================  ==============================================================================
``app``, ``front``       HTTP: an API call's way in and out; ``admin`` is the emulator's own remote control
``signature``            who calls: TC3-HMAC-SHA256, temporary keys
``validation``           is the request what the published metadata says
``cloud``, ``services``  what a call can reach; which module answers which service and version
``models``, ``state``    what exists, as plain dataclasses, and how it is kept
``clock``, ``trouble``   when changes come true; what goes wrong on request
``pools``                node pools as one model, whatever API version speaks about them
``capacity``             which pod fits on which machine, roughly as the scheduler sees it
``cluster_autoscaler``   pods without a node let pools grow, idle machines let them shrink
``nodes``, ``registry``  the real cluster's Node objects; the real registry's content
``helm``                 the real helm on the real cluster
``sts``, ``tke_*``, …    one API version of one service each: ``ACTIONS`` maps action to function
=======================  ==============================================================================

A comment behind a claim about the cloud names its source: [M] the metadata and examples in ``tccli``, [G] the error
codes documented in Tencent's SDKs, [D n/m] a documentation page, [T] Tencent's Terraform provider, [O] another
public report, [K] common knowledge that no document confirms.
"""
