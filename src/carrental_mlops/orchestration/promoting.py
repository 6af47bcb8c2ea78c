"""`crm promote`: a release of one environment scored, put beside the champion of the next, and watched to the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from carrental_mlops.core.repo import open_repo
from carrental_mlops.deploy.cluster.deployment import WAIT_S, deploy, try_out
from carrental_mlops.deploy.cluster.lease import alone
from carrental_mlops.deploy.cluster.site import Site
from carrental_mlops.deploy.observe.prometheus import Prometheus
from carrental_mlops.deploy.releases.draft import Draft, WantedRelease, draft_of
from carrental_mlops.deploy.releases.journal import Journal, Kind
from carrental_mlops.deploy.releases.store import standing_in
from carrental_mlops.deploy.rollout.helm_traffic import HelmTraffic
from carrental_mlops.deploy.rollout.promotion import Rollout, RolloutOutcome
from carrental_mlops.deploy.rollout.stand import Stands
from carrental_mlops.errors import GateRefused, PlatformError
from carrental_mlops.orchestration.rescore import compare


@dataclass(frozen=True)
class Promotion:
    """One service on its way into one environment.

    Args:
        site: where it goes.
        by: who.
        say: shows progress, a line a call.
        prometheus: URL; None: `watch.prometheus` of crm.yaml.
    """

    site: Site
    by: str
    say: Callable[[str], None]
    prometheus: str | None = None

    def run(self, source: str) -> RolloutOutcome:
        """The release that stands in the environment `source` takes all of the traffic, or goes back.

        Killed, the same call goes on where it stood, on any machine that reads the same releases. Where nothing answers
        yet, it is put there at once.

        Raises:
            GateRefused: evidence is missing, or its model is worse than the champion beyond the declared loss.
            ConfigError: `source` has no release, or the cluster refuses an object.
            PlatformError: the cluster or the registry does not answer, or the canary was not available in time.
        """
        release = self._begun() or self._put(self._draft(source))
        if release is None:
            newest = self.site.store.newest(self.site.env)
            return RolloutOutcome("promoted", newest.release.id if newest else "")
        with alone(self.site.cluster, f"{self.site.service}-rollout", self.by):
            return self._rollout(release).run(release, self.by)

    def try_out(self, source: str) -> list[str]:
        """What `run` would do, a line each; nothing is written.

        Raises:
            as `run`.
        """
        if begun := self._begun():
            return [f"would go on with {begun}"]
        draft = self._draft(source)
        draft.refuse()
        told = self._scores(draft, keep=False)
        tried = try_out(self.site, draft)
        if tried.did == "nothing":
            return [*told, f"{tried.release.id} runs already"]
        steps = ", ".join(f"{step} %" for step in self.site.repo.config.deploy.rollout.steps)
        return [*told, f"would be {tried.release.id}: {draft.image}, by {steps}, then all"]

    def abort(self) -> RolloutOutcome | None:
        """Take the canary back, whoever put it there and from whichever machine; None where there is none.

        Raises:
            PlatformError: the cluster or the releases cannot be reached.
        """
        begun, found = self._begun(), self._canary()
        return self._rollout(begun or found or "").abort(self.by, found)

    def try_abort(self) -> list[str]:
        """What `abort` would do, a line each; nothing is written."""
        canary = self._begun() or self._canary()
        return [f"would take {canary} back"] if canary else ["there is no canary"]

    def _draft(self, source: str) -> Draft:
        root, canary = self.site.repo.root, self._canary()
        release = standing_in(root, open_repo(root, source).config, source).release
        weight = self._traffic(canary).weight() if canary else self.site.repo.config.deploy.rollout.steps[0]
        wanted = WantedRelease(self.by, release.image, release.model.version, weight)
        return draft_of(self.site.repo, self.site.env, wanted)

    def _put(self, draft: Draft) -> str | None:
        """Id of the release that is a canary now; None where there is no champion to compare it with."""
        draft.refuse()
        self._scores(draft, keep=True)
        try:
            made = deploy(self.site, draft, self.say, WAIT_S).release
        except PlatformError:
            newest = self.site.store.newest(self.site.env)
            if newest is not None and self.site.running() is not None:
                self._traffic(newest.release.id).roll_back()
            raise
        return made.id if self._canary() == made.id else None

    def _scores(self, draft: Draft, keep: bool) -> list[str]:
        """One line a metric and window; refuses a model that is worse than what answers, beyond what is declared."""
        running = self.site.running()
        champion = running.tracks.get("champion") if running else None
        before = self.site.release(champion).model.version if champion else None
        if before is None or before == draft.model.version:
            return ["no other model answers: nothing to compare"]
        found = compare(self.site.repo, draft.model.version, before, self.say)
        worse, told = [one.said() for one in found if one.beyond], [one.said() for one in found]
        for line in told:
            self.say(line)
        if keep:
            kind: Kind = "rollout.refused" if worse else "rollout.scored"
            self._journal().write(kind, self.by, "; ".join(told), data={"model": draft.model.version})
        if worse:
            what = f"model version {draft.model.version} is worse than the champion {before}: {'; '.join(worse)}"
            raise GateRefused(what, "train again, or declare the loss: steps.gate.no_worse_than_champion")
        return told

    def _rollout(self, release: str) -> Rollout:
        config = self.site.repo.config.deploy
        labels = {"model": self.site.service, "namespace": config.namespace}
        prometheus = Prometheus(self.prometheus or self.site.repo.config.watch.prometheus)
        return Rollout(
            self._file, self._traffic(release), prometheus, labels, config.rollout, self._journal(), self.say
        )

    def _traffic(self, release: str) -> HelmTraffic:
        return HelmTraffic(self.site, release, self.by, self.say)

    def _journal(self) -> Journal:
        return Journal(self.site.repo.root, self.site.repo.config.deploy.releases, self.site.env)

    def _begun(self) -> str | None:
        """Id of the release whose rollout has begun and not ended, on whichever machine."""
        stand = Stands(self._file, self._journal()).open()
        return stand.release if stand else None

    def _canary(self) -> str | None:
        running = self.site.running()
        return running.tracks.get("canary") if running else None

    @property
    def _file(self) -> Path:
        return self.site.repo.root / ".crm" / "rollouts" / f"{self.site.env}.json"
