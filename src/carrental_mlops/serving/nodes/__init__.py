"""Nodes of an inference graph besides the service's model, for `deploy.nodes[].uses` of crm.yaml."""

from carrental_mlops.serving.nodes.base import Asked, Node, Place
from carrental_mlops.serving.nodes.combiner import Combiner, Mean, Median, Weighted
from carrental_mlops.serving.nodes.drift import DriftDetector
from carrental_mlops.serving.nodes.explainer import ShapExplainer
from carrental_mlops.serving.nodes.models import ManyModels, OneModel
from carrental_mlops.serving.nodes.outlier import OutlierDetector
from carrental_mlops.serving.nodes.router import HeaderRouter, ModelRouter, Router, ThompsonRouter
from carrental_mlops.serving.nodes.transformer import FeatureTransformer

__all__ = [
    "Asked",
    "Combiner",
    "DriftDetector",
    "FeatureTransformer",
    "HeaderRouter",
    "ManyModels",
    "Mean",
    "Median",
    "ModelRouter",
    "Node",
    "OneModel",
    "OutlierDetector",
    "Place",
    "Router",
    "ShapExplainer",
    "ThompsonRouter",
    "Weighted",
]
