"""The rules that ``devstack/k8s/policy.py`` applies; each yields a sentence for what breaks it."""
