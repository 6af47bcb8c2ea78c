"""Waivers of the shipped Terraform name who, why, what stands instead and until when; files are formatted."""

from __future__ import annotations

import subprocess
from datetime import date

import yaml
from aws_emulated import terraform_or_skip

from carrental_mlops.assets import asset_dir

TERRAFORM = asset_dir("terraform")
NEVER = ("IAM", "ENCRYPT", "SECRET", "PUBLIC", "PRIVILEGE")
"""Words of a finding that no waiver may hold."""


def test_waivers_name_a_person_a_reason_what_stands_instead_and_an_end_that_has_not_come() -> None:
    waivers = yaml.safe_load((TERRAFORM / "waivers.yaml").read_text(encoding="utf-8"))
    assert len(waivers) <= 5
    for waiver in waivers:
        assert set(waiver) == {"check", "what", "where", "by", "reason", "instead", "expires"}
        assert "@" in waiver["by"] and len(waiver["reason"]) > 20 and len(waiver["instead"]) > 20
        assert waiver["expires"] > date.today(), f"the waiver of {waiver['check']} has expired"
        assert not any(word in waiver["what"].upper() for word in NEVER)


def test_every_file_is_formatted() -> None:
    terraform = terraform_or_skip()
    ran = subprocess.run([terraform, "fmt", "-check", "-recursive", str(TERRAFORM)], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "")
