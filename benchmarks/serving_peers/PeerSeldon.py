from peer_model import predict


class PeerSeldon:
    def predict(self, X, features_names=None, meta=None):
        return predict(X).reshape(-1, 1)
