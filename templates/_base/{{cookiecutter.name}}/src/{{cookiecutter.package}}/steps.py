"""Where {{ cookiecutter.name }} differs from the default steps: nowhere yet.

`crm hooks` lists all that may be overridden. `crm steps override train --hook sample_weight` writes that hook of a
subclass here; then name the subclass in `pipelines.py`.
"""
