"""{{ cookiecutter._summary }}"""
