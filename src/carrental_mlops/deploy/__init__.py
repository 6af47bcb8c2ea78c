"""From a trained model to a running release: releases as data, Helm values, the cluster, rollouts, infrastructure."""
