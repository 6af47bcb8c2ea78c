"""From crm.yaml and a release to Kubernetes objects: values, the chart, what is refused."""
