"""An ingress controller, compiled from its Go module, that honours what ingress-nginx's annotations say.

ingress-nginx itself cannot be made here: its proxy needs Lua modules that Debian does not have. Traefik reads the same
annotations (its provider ``kubernetesIngressNGINX``), those of a canary among them.

Belongs here: the module's pinned versions, what stands in for the parts of it that are left out (``ext``, ``lego``),
and how it is run. It takes long to compile and is up only on request, for the tests that send a load through it.
"""
