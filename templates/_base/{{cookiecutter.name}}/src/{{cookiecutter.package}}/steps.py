"""Where {{ cookiecutter.name }} differs from the default steps: nowhere yet.

`crm hooks` lists all that may be overridden. `crm steps override train` writes a subclass of the default step here
and puts it into `pipelines.py`; keep the one hook you need and delete the rest.
"""
